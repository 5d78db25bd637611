"""HTML built from Python: every text is escaped, unless it is markup already.

Answers, prompts and file names are written by others. So nothing here takes text for markup: a
page is made of :func:`tag` alone, and what could act (a handler, an inline style, an address that
leaves the file) is refused when it is written, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"br", "img", "input", "link", "meta", "wbr"})
_ADDRESSES = frozenset({"action", "formaction", "href", "src", "srcdoc", "xlink:href"})
_INSIDE = ("#", "data:application/json", "data:application/gzip", "data:image/", "data:,")
"""What an address may begin with: a place on the page, or data that the file itself holds."""


class Markup(str):
    """Text that is HTML already: :func:`tag` made it, or it is the page's own script or style."""

    __slots__ = ()


Child = str | Iterable["Child"] | None
"""What stands inside an element: text, markup, several of them, or nothing."""

Attribute = str | int | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """One element; text among ``children`` is escaped.

    An attribute's name may end in ``_`` where Python has the word itself, and ``_`` inside it is a
    hyphen. ``None`` and ``False`` leave the attribute out.

    Raises:
        ValueError: the attribute could act: a bug of the caller, whatever the text.

    >>> tag("p", "a < b", tag("b", "c"), class_="x", hidden=True, title=None)
    '<p class="x" hidden>a &lt; b<b>c</b></p>'
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{joined(children)}</{name}>")


def joined(child: Child) -> Markup:
    """``child`` as markup, its parts one after the other."""
    if child is None or isinstance(child, Markup):
        return child or Markup()
    if isinstance(child, str):
        return Markup(escape(child))
    return Markup("".join(map(joined, child)))


def lines(text: str) -> Markup:
    """A name that offers breaks: each of its line breaks is a place where it may be broken."""
    head, *rest = text.split("\n")
    return joined([head, *([tag("wbr"), each] for each in rest)])


def number(value: float) -> str:
    """A coordinate: three decimals at most.

    >>> number(12.0), number(1 / 3)
    ('12', '0.333')
    """
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if name.lower().startswith("on") or name.lower() == "style":
        raise ValueError(f"{name} does not belong in a report: its policy forbids it")
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else number(value)
    if name in _ADDRESSES and not text.startswith(_INSIDE):
        raise ValueError(f"{name} leads out of the report")
    return f' {name}="{escape(text)}"'
