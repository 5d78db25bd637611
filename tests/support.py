"""Write docs/support.md from the registry and the tests that prove it: python -m tests.support.

With `--print` it goes to stdout instead. It also writes the count of served model types into
README.md.

A test says what it proves: `@pytest.mark.mode(name, status, note)` is a row of the table of
modes, `@pytest.mark.proves(backend)` counts for the family and the shape it is parametrised by.
"""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import image_text_types

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "support.md"
FOLDERS = ("tests/instrument", "tests/matrix", "tests/modes")
STATUSES = ("works", "refused", "not seen", "not proven")
HEAD = """# What is supported

Made by `python -m tests.support` from the registry and from the marks on the tests; a test compares
it with both. "Proven" means: a tiny model of random weights, dropped tokens physically removed,
gives what the dense model gives when they are masked instead, in float32 on a CPU. A row of a
table names the test that proves it.
"""


@dataclass
class Found:
    """What collecting the tests told.

    Attributes:
        modes: name → (status, note, the tests).
        proven: family → attention backend → what was shown (`image`, `ragged` …).
    """

    modes: dict[str, tuple[str, str, list[str]]] = field(default_factory=dict)
    proven: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            values: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
            test = item.nodeid.partition("[")[0]
            for mark in item.iter_markers("mode"):
                self._mode(test, *mark.args)
            for mark in item.iter_markers("proves"):
                backend = mark.args[0] if mark.args else values["attn"]
                shapes = self.proven.setdefault(values["name"], {}).setdefault(backend, set())
                shapes.add(values["shape"])

    def _mode(self, test: str, name: str, status: str, note: str = "") -> None:
        assert status in STATUSES, f"{test}: {status!r} is none of {STATUSES}"
        known = self.modes.setdefault(name, (status, note, []))
        assert known[:2] == (status, note), f"{test}: {name!r} is told apart elsewhere"
        if test not in known[2]:
            known[2].append(test)


def collect() -> Found:
    """Collect the marked tests, running none."""
    found = Found()
    arguments = ["--collect-only", "-q", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    with contextlib.redirect_stdout(io.StringIO()):
        code = pytest.main([*arguments, *(str(ROOT / f) for f in FOLDERS)], plugins=[found])
    assert code == 0, f"collecting the tests ended with {code}"
    return found


def table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def page(found: Found) -> str:
    """The whole page."""
    return "\n".join(
        [
            HEAD,
            "## Families\n",
            families(found),
            FAMILY_NOTES,
            f"{image_text_types.sentence()}\n",
            "## Generating, caching, placing\n",
            "Proven on a small LLaVA, a Llama decoder, unless the test names other families.\n",
            modes(found),
            "## Refused model types\n",
            refused(),
            "## Refused configurations of served families\n",
            configurations(),
        ]
    )


FAMILY_NOTES = """\
The first droppable layer is that of transformers' default configuration. `flash` is transformers'
own path to the flash kernels (2, 3 and 4 take the same), with the kernels replaced by plain torch:
what they are told is tested, not the kernels. `flex_attention` likewise runs uncompiled,
for the models that transformers offers it for.
`synthetic` says whether media can be made up from a size. Decoders with sliding windows are served
where somebody has proven them, see the configurations below.
"""


def families(found: Found) -> str:
    """One row a family; what it takes is proven, or the table says otherwise."""
    from transformers import CONFIG_MAPPING

    from v2drop_cli.models.registry import FAMILIES, get_family

    rows = []
    for name in FAMILIES:
        family = get_family(name)
        shown = found.proven[name]
        layers = {family.first_droppable_layer(CONFIG_MAPPING[t]()) for t in family.model_types}
        rows.append(
            [
                f"`{name}`",
                code(family.model_types),
                takes(family.media, set().union(*shown.values())),
                ", ".join(sorted(shown)),
                ", ".join(str(layer) for layer in sorted(layers)),
                "yes" if family.synthetic else "no",
                code(family.presets),
            ]
        )
    columns = ["family", "model types", "takes", "attention proven", "first droppable layer"]
    return table([*columns, "synthetic", "presets"], rows)


def takes(media: tuple[str, ...], shown: set[str]) -> str:
    """What the processor takes, with a word where the model itself was not shown one."""
    return ", ".join(kind if kind in shown else f"{kind} (as images)" for kind in media)


def modes(found: Found) -> str:
    """One row a mode, works first."""
    rows = []
    for name, (status, note, tests) in sorted(
        found.modes.items(), key=lambda item: STATUSES.index(item[1][0])
    ):
        linked = [f"[`{test.partition('::')[2]}`](../{test.partition('::')[0]})" for test in tests]
        rows.append([name, status, note, ", ".join(linked)])
    return table(["mode", "", "note", "test"], rows)


def refused() -> str:
    from v2drop_cli.models.registry import REFUSED

    rows = [[f"`{name}`", reason] for name, reason in REFUSED.items()]
    return table(["model type", "why"], rows)


def configurations() -> str:
    from v2drop_cli.models.refused import CONFIGURATIONS

    return table(["family", "configuration", "why"], [list(row) for row in CONFIGURATIONS])


if __name__ == "__main__":
    TEXT = page(collect())
    if "--print" in sys.argv:
        sys.stdout.write(TEXT)
    else:
        PAGE.write_text(TEXT, encoding="utf-8")
        README = image_text_types.README
        README.write_text(
            image_text_types.filled(README.read_text(encoding="utf-8")), encoding="utf-8"
        )
