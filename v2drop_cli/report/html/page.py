"""The one file that everything is in: its policy, its style, its script, its parts, its data.

The policy allows the style and the script that are in the file, by their digests, and pictures that
are data; no address, no inline handler, no form, whatever the text in it says.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from v2drop_cli.report.html.definitions import definitions
from v2drop_cli.report.html.markup import Child, Markup, joined, tag
from v2drop_cli.report.view import Cell

PLAIN_MOST = 200_000
"""A longer document is packed, so that the page stays below a megabyte."""
TERMS_TITLE = "What the numbers mean"


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the page.

    Attributes:
        name: for links to it.
        folded: only its title shows until it is opened, by a click or by a link into it. Printed,
            it is open.
    """

    name: str
    title: str
    body: Child
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says.

    Attributes:
        title: of the window.
        finding: the answer in one sentence.
        document: the JSON that it was made from.
        file_name: of that JSON, where it is saved.
    """

    title: str
    finding: Cell
    head: Child
    parts: Sequence[Part]
    document: str
    file_name: str

    def html(self) -> str:
        """The whole file; at its end the terms that it uses are explained."""
        header = tag(
            "header",
            tag("p", self.title, class_="brand"),
            tag("h1", self.finding.text, class_=self.finding.tone),
            self.head,
        )
        sections = joined([_section(part) for part in self.parts])
        terms = Part("terms", TERMS_TITLE, definitions(joined([header, sections])), folded=True)
        parts = [*self.parts, *([terms] if terms.body else [])]
        body = [
            header,
            _contents(parts),
            tag("main", sections, _section(terms) if terms.body else None),
            tag("footer", tag("p", _download(self.document, self.file_name), class_="download")),
        ]
        return "<!DOCTYPE html>\n" + tag("html", _head(self.title), _body(body), lang="en") + "\n"


def policy() -> str:
    """What the browser may do with the file: nothing but show it, with its own style and script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(_own('page.css'))}'",
            f"script-src '{_digest(_own('page.js'))}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _head(title: str) -> Markup:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", _own("page.css")),
    )


def _body(children: Child) -> Markup:
    return tag("body", children, tag("script", _own("page.js")))


def _contents(parts: Sequence[Part]) -> Markup:
    links = [tag("li", tag("a", part.title, href=f"#{part.name}")) for part in parts]
    return tag("nav", tag("ul", links), aria_label="Contents")


def _section(part: Part) -> Markup:
    """A link into what is folded opens it, so the name is inside."""
    title = tag("h2", part.title)
    if not part.folded:
        return tag("section", title, part.body, id=part.name)
    inside = tag("div", part.body, id=part.name)
    return tag("section", tag("details", tag("summary", title), inside))


def _download(document: str, name: str) -> Markup:
    """A link that saves the document: the data are in the link, so that none of them is markup."""
    kind, data = "application/json", document.encode("utf-8", "backslashreplace")
    if len(data) > PLAIN_MOST:
        kind, data, name = "application/gzip", gzip.compress(data, mtime=0), f"{name}.gz"
    address = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return tag("a", f"Save {name}, all that this page was made from", href=address, download=name)


def _own(name: str) -> Markup:
    """A file of this folder, which no text from outside ever reaches."""
    return Markup((files(__package__) / name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
