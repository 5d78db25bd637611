"""Which releases of transformers this package was tested with.

The tests run on three of them: the oldest (`.ci/oldest`), the one in ``constraints.txt`` and the
newest of the registry (`.ci/newest`). A test compares the two bounds with ``pyproject.toml``.
"""

from __future__ import annotations

import re

from v2drop_cli.records import Caveat, CaveatKind

OLDEST, NEWEST = (5, 17), (5, 24)
TESTED = ".".join(map(str, OLDEST)) + " to " + ".".join(map(str, NEWEST))


def release(version: str) -> tuple[int, ...]:
    """The first two numbers of ``version``.

    >>> release("5.24.1"), release("5.25.0.dev0"), release("missing")
    ((5, 24), (5, 25), ())
    """
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def untested(version: str) -> Caveat | None:
    """What the reader of a report must know of transformers ``version``, if anything.

    >>> untested("5.24.3") is None, untested("6.0.0").code
    (True, 'transformers_untested')
    """
    if OLDEST <= release(version) <= NEWEST:
        return None
    return CaveatKind.TRANSFORMERS_UNTESTED.caveat(version=version, tested=TESTED)
