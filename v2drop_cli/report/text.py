r"""Text that is safe to show: answers, prompts and file names come from outside.

A model's token can be ``\x1b``; a file name can hold a newline, a bidirectional override or
bytes that are no text at all. None of it may move the cursor or fail to encode.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable

from v2drop_cli.units import NOT_AVAILABLE

GLUE = "\u00a0"
"""Holds together what must stay on one line (``12.3 ms``); layouts break at plain spaces only."""

TIMES = "\u00d7"
"""The sign between a width and a height."""

_JOINERS = "\u200c\u200d"  # Persian and emoji sequences fall apart without them
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_STAND_INS = {
    "→": "->",
    "µ": "u",
    "±": "+/-",
    TIMES: "x",
    "─": "-",
    "…": "...",
    "\u2013": "-",
    "\u2014": "-",
    "\u2018": "'",
    "\u2019": "'",
    "“": '"',
    "”": '"',
    GLUE: GLUE,
}


def clean(text: str, *, lines: bool = False) -> str:
    r"""``text`` with everything that could act on a terminal written out as an escape.

    Args:
        text: anything, from anywhere.
        lines: whether line breaks stay line breaks, as in an answer.

    >>> clean("a\x1b[31mb\nc"), clean("a\r\nb", lines=True)
    ('a\\x1b[31mb\\nc', 'a\nb')

    """
    if lines:
        text = text.replace("\r\n", "\n").strip("\n")
    return "".join(char if lines and char == "\n" else _clean_char(char) for char in text)


def told(value: object) -> str:
    """Any value of a table, safe to show: ``n/a`` for ``None``, a list joined with commas.

    >>> told(None), told(True), told(["a", "b"]), told([])
    ('n/a', 'yes', 'a, b', '-')
    """
    if value is None:
        return NOT_AVAILABLE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, set, frozenset)):
        return clean(", ".join(map(str, value)) or "-")
    return clean(str(value))


def glued(text: str) -> str:
    """``text`` as one unbreakable word."""
    return text.replace(" ", GLUE)


def encodable(text: str, encoding: str) -> str:
    r"""``text`` with stand-ins for what ``encoding`` cannot say; :data:`GLUE` is left alone.

    >>> encodable("576 → 288, 4.5 µs, é", "ascii")
    '576 -> 288, 4.5 us, \\xe9'
    """
    return _replaced(text, encoding, _stand_in)


def encodable_json(text: str, encoding: str) -> str:
    r"""Write ``\uXXXX`` for what ``encoding`` cannot say: still the same JSON document.

    >>> encodable_json('"é 🙂"', "ascii")
    '"\\u00e9 \\ud83d\\ude42"'
    """
    return _replaced(text, encoding, lambda char: json.dumps(char)[1:-1])


def _replaced(text: str, encoding: str, stand_in: Callable[[str], str]) -> str:
    if _encodes(text, encoding):
        return text
    return "".join(char if _encodes(char, encoding) else stand_in(char) for char in text)


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # a stream of an encoding Python does not know: assume the least
        return text.isascii()
    return True


def _stand_in(char: str) -> str:
    return _STAND_INS.get(char) or char.encode("ascii", "backslashreplace").decode("ascii")


def _clean_char(char: str) -> str:
    if " " <= char <= "~" or char in _JOINERS:
        return char
    category = unicodedata.category(char)
    if char == "\t" or category == "Zs":
        return " "
    if category in _ESCAPED:
        return char.encode("unicode_escape").decode("ascii")
    return char
