"""A figure of kept tokens as SVG: one text, with the pictures inside if they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from v2drop_cli.report.kept_figure import KeptFigure, Panel
from v2drop_cli.report.kept_layout import Drawn, Paper, Words, lay_out, panel_paper
from v2drop_cli.report.kept_sheets import Box, Sheet
from v2drop_cli.report.text import clean

# Where a picture is: its data URI by (which of the request's media, which frame).
Pictures = Mapping[tuple[int, int], str]
BACKGROUND, CANVAS, DIM, DIMMED, INK, MERGED = (
    "#ffffff", "#b9bdc4", "#101216", 0.8, "#1c1e21", "#ff9f1c",
)  # fmt: skip
HOT, HEATED, OVER_HEAT = "#ff2d20", 0.75, 0.55  # what is dropped must not hide its score
PALE, VEILED = "#ffffff", 0.7


def kept_svg(figure: KeptFigure, pictures: Pictures | None = None) -> str:
    """The whole figure; a grey canvas stands for a picture that is not given."""
    paper = lay_out(figure)
    return _document(paper, figure.sheets, pictures or {}, f"Kept tokens: {figure.title}")


def panel_svg(sheets: Sequence[Sheet], panel: Panel, pictures: Pictures | None = None) -> str:
    """One panel alone, as one picture of a slide show."""
    return _document(panel_paper(sheets, panel), sheets, pictures or {}, panel.title)


def _document(paper: Paper, sheets: Sequence[Sheet], pictures: Pictures, title: str) -> str:
    used = {
        key: uri for sheet in sheets if (key := picture_key(sheet)) and (uri := pictures.get(key))
    }
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{paper.width}" height="{paper.height}" '
        f'viewBox="0 0 {paper.width} {paper.height}" role="img" font-family="sans-serif" '
        'shape-rendering="crispEdges">',
        f"<title>{escape(clean(title))}</title>",
        "<defs>",
        *(
            f'<image id="{name_of(key)}" width="1" height="1" preserveAspectRatio="none" '
            f'href="{escape(uri)}"/>'
            for key, uri in used.items()
        ),
        "</defs>",
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>',
    ]
    for drawn in paper.sheets:
        key = picture_key(sheets[drawn.sheet])
        lines += _sheet(drawn, name_of(key) if key in used and key is not None else None)
    lines += [_words(words) for words in paper.words]
    return "\n".join([*lines, "</svg>", ""])


def picture_key(sheet: Sheet) -> tuple[int, int] | None:
    """The picture that a sheet lies over; none where its cells' place in it is not known."""
    if sheet.media is None or sheet.frame is None or not sheet.placed:
        return None
    return sheet.media, sheet.frame


def name_of(key: tuple[int, int]) -> str:
    """What a stored picture is called."""
    return f"m{key[0]}f{key[1]}"


def _sheet(drawn: Drawn, picture: str | None) -> Iterator[str]:
    left, top, right, bottom = drawn.frame
    if picture is None:
        yield f'<path fill="{CANVAS}" d="{_path(drawn.frame)}"/>'
    else:
        size = f"{_n(right - left)} {_n(bottom - top)}"
        yield f'<use href="#{picture}" transform="translate({_n(left)} {_n(top)}) scale({size})"/>'
    for box, score in drawn.heat:
        shade = f'fill="{HOT}" fill-opacity="{_n(HEATED * score)}"'
        yield f'<path {shade} d="{_path(box)}"/>'
    if drawn.unseen:
        shapes = "".join(map(_path, drawn.unseen))
        yield f'<path fill="{PALE}" fill-opacity="{VEILED}" d="{shapes}"/>'
    if drawn.dropped:
        shapes = "".join(map(_path, drawn.dropped))
        share = OVER_HEAT if drawn.heat else DIMMED
        yield f'<path fill="{DIM}" fill-opacity="{share}" d="{shapes}"/>'
    if drawn.lines:
        strokes = "".join(f"M{_n(a)} {_n(b)}L{_n(c)} {_n(d)}" for a, b, c, d in drawn.lines)
        yield f'<path stroke="{MERGED}" stroke-width="0.6" d="{strokes}"/>'


def _path(box: Box) -> str:
    left, top, right, bottom = box
    return f"M{_n(left)} {_n(top)}H{_n(right)}V{_n(bottom)}H{_n(left)}z"


def _words(words: Words) -> str:
    weight = ' font-weight="bold"' if words.bold else ""
    at = f'x="{_n(words.x)}" y="{_n(words.y)}" font-size="{words.size}"'
    return f'<text {at} fill="{INK}"{weight}>{escape(words.text)}</text>'


def _n(value: float) -> str:
    """A number of pixels, as short as a hundredth allows."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
