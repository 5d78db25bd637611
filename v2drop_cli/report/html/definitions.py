"""Links from a number to what it means, and the list that they lead to."""

from __future__ import annotations

from v2drop_cli.report.html.markup import Child, Markup, tag
from v2drop_cli.report.terms import TERMS


def link(name: str | None, words: Child) -> Markup:
    """``words``, which lead to the definition of ``name``; also shown where a mouse rests."""
    if name is None:
        return tag("span", words)
    return tag("a", words, href=f"#term-{name}", title=TERMS[name].words, class_="term")


def definitions() -> Markup:
    """Every term."""
    pairs = [
        [tag("dt", term.label, id=f"term-{term.name}"), tag("dd", term.words)]
        for term in TERMS.values()
    ]
    return tag("dl", pairs, class_="terms")
