"""The sheets of a figure of kept tokens: each picture and frame, and the cells that lie on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from v2drop_cli.records import MediaRecord, Span

# Left, top, right and bottom, as shares of a picture's sides.
Box = tuple[float, float, float, float]
# A sheet's number, and a cell's on it.
Place = tuple[int, int]
# Boxes that meet at an edge may overlap by as much, in shares: rounding.
_ROUNDING = 1e-6
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One picture or frame, and cells on it that do not overlap.

    A picture that a model sees whole and in tiles has two sheets.

    Attributes:
        title: the file, and which of its frames.
        media: which of the request's media it shows; ``None`` where that is not known.
        frame: which frame of it, 0 for a picture; ``None`` likewise.
        aspect: width over height.
        placed: whether the cells lie over the medium itself; if not, over what the processor made
            of it.
        positions: the prompt position of each cell's token.
        boxes: where each cell lies.
    """

    title: str
    media: int | None
    frame: int | None
    aspect: float
    placed: bool
    positions: tuple[int, ...]
    boxes: tuple[Box, ...]

    @property
    def unseen(self) -> tuple[Box, ...]:
        """What lies around all cells: no token stands for it."""
        left, top = (min(box[side] for box in self.boxes) for side in (0, 1))
        right, bottom = (max(box[side] for box in self.boxes) for side in (2, 3))
        strips = (
            (0.0, 0.0, 1.0, top),
            (0.0, bottom, 1.0, 1.0),
            (0.0, top, left, bottom),
            (right, top, 1.0, bottom),
        )
        return tuple(strip for strip in strips if _area(strip))


@dataclass(slots=True)
class _Draft:
    """A sheet while cells are still being laid on it."""

    key: tuple[int | None, int | None, bool]
    step: int
    aspect: float
    taken: list[Box] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    end: int = -1

    def takes(self, key: tuple[int | None, int | None, bool], region: Box) -> bool:
        """Whether that much of the same picture is still free."""
        return self.key == key and not any(_overlap(region, other) for other in self.taken)

    def goes_on(self, position: int) -> bool:
        """Whether a token there follows its last one."""
        return self.end == position


def sheets_of(spans: Sequence[Span], media: Sequence[MediaRecord]) -> tuple[Sheet, ...]:
    """All sheets, in the order of the prompt. Tokens without a place are on none of them."""
    drafts: list[_Draft] = []
    steps: dict[int | None, int] = {}
    for span in spans:
        at = list(_positions(span))
        if not _area(span.grid.box) or not at:
            continue
        for t in range(span.grid.t):
            number = steps.get(span.media, 0) + t
            cells = at[t * span.grid.h * span.grid.w : (t + 1) * span.grid.h * span.grid.w]
            _lay(drafts, span, t, number, cells, media)
        steps[span.media] = steps.get(span.media, 0) + span.grid.t
    return tuple(_sheet(draft, media) for draft in drafts if draft.boxes)


def _lay(
    drafts: list[_Draft],
    span: Span,
    t: int,
    number: int,
    cells: Sequence[int],
    media: Sequence[MediaRecord],
) -> None:
    """One step of a span, on the first sheet that has room."""
    placed = span.media is not None and span.shown is not None
    record = media[span.media] if span.media is not None and span.media < len(media) else None
    frame = None if span.frames is None else span.frames[0] + t * span.frames[1]
    if record is not None and record.kind == "image":
        frame = 0
    key = (span.media, frame, placed)
    shown = span.shown if placed and span.shown is not None else _WHOLE
    region = _clipped(_inside(_clipped(span.grid.box), shown))
    # Of a video whose frames are not known, what follows text is taken for another frame.
    loose = record is not None and record.kind == "video" and frame is None
    free = (one for one in drafts if one.takes(key, region))
    draft = next((one for one in free if not loose or one.goes_on(cells[0])), None)
    if draft is None:
        known = record is not None and placed
        aspect = record.width / record.height if record and known else _processed_aspect(span)
        draft = _Draft(key, number, aspect)
        drafts.append(draft)
    draft.taken.append(region)
    draft.end = cells[-1] + 1
    for position, box in zip(cells, _cells(span), strict=True):
        # What lies beside the processed picture, as newlines do, stands for none of its pixels.
        found = _clipped(_inside(_clipped(box), shown))
        if _area(_clipped(box)) and _area(found):
            draft.positions.append(position)
            draft.boxes.append(found)


def _cells(span: Span) -> Iterator[Box]:
    """The boxes of one step's tokens, in shares of the processed picture."""
    left, top, right, bottom = span.grid.box
    rows, columns = span.grid.h, span.grid.w
    wide, high = (right - left) / columns, (bottom - top) / rows
    for r in range(rows):
        for c in range(columns):
            x, y = left + c * wide, top + r * high
            yield x, y, x + wide, y + high


def _inside(box: Box, outer: Box) -> Box:
    """``box``, given in shares of ``outer``, in what ``outer`` is given in."""
    left, top, right, bottom = outer
    wide, high = right - left, bottom - top
    return left + box[0] * wide, top + box[1] * high, left + box[2] * wide, top + box[3] * high


def _clipped(box: Box) -> Box:
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in box)
    return left, top, right, bottom


def _area(box: Box) -> bool:
    return box[2] - box[0] > _ROUNDING and box[3] - box[1] > _ROUNDING


def _overlap(a: Box, b: Box) -> bool:
    return _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def _processed_aspect(span: Span) -> float:
    """Width over height of the processed picture, if its tokens are square."""
    left, top, right, bottom = span.grid.box
    return (span.grid.w / (right - left)) / (span.grid.h / (bottom - top))


def _positions(span: Span) -> Iterator[int]:
    for first, n in span.runs:
        yield from range(first, first + n)


def _sheet(draft: _Draft, media: Sequence[MediaRecord]) -> Sheet:
    number, frame, placed = draft.key
    record = media[number] if number is not None and number < len(media) else None
    return Sheet(
        title=_title(record, frame, draft.step),
        media=number,
        frame=frame,
        aspect=draft.aspect,
        placed=placed,
        positions=tuple(draft.positions),
        boxes=tuple(draft.boxes),
    )


def _title(record: MediaRecord | None, frame: int | None, step: int) -> str:
    if record is None:
        return "not known which picture"
    name = PurePath((record.path or record.kind).replace("\\", "/")).name
    if record.kind == "image":
        return name
    times = record.frame_times_s
    if frame is None:
        return f"{name}, part {step + 1}"
    return f"{times[frame]:.2f} s" if times and frame < len(times) else f"frame {frame + 1}"
