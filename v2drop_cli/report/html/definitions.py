"""Links from a number to what it means, and the list that they lead to."""

from __future__ import annotations

import re

from v2drop_cli.report.html.markup import Child, Markup, tag
from v2drop_cli.report.terms import TERMS

_LINK = re.compile('href="#term-([^"]*)"')


def link(name: str | None, words: Child) -> Markup:
    """``words``, which lead to the definition of ``name``; also shown where a mouse rests."""
    if name is None:
        return tag("span", words)
    return tag("a", words, href=f"#term-{name}", title=TERMS[name].words, class_="term")


def definitions(page: Markup) -> Markup | None:
    """The terms that ``page`` links to, and no others: a reader looks for them on it in vain."""
    linked = set(_LINK.findall(page))
    pairs = [
        [tag("dt", term.label, id=f"term-{term.name}"), tag("dd", term.words)]
        for term in TERMS.values()
        if term.name in linked
    ]
    return tag("dl", pairs, class_="terms") if pairs else None
