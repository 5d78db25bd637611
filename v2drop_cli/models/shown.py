"""Where a processed picture lies over the picture that it was made of.

:attr:`~v2drop_cli.records.Grid.box` is a share of what the processor made. To draw a token over the
file that a person gave, one must know what the processor cut off and what it padded: that is said
here, from the processor's own settings, and by families whose processors do otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from v2drop_cli.records import Grid, MediaRecord

# (left, top, right, bottom) of what was processed, in shares of the medium's sides.
Box = tuple[float, float, float, float]
# (processor, config, a medium, its grids) → where what each grid is a share of lies.
Shown = Callable[[Any, Any, MediaRecord, Sequence[Grid]], Sequence[Box | None]]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


def as_processed(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """The rule of most processors: made square or not, resized, its middle cut out or not.

    What else pads has a rule of its own in each family; here it is not known.
    """
    rule = rule_for(processor, record.kind)
    if rule is None:
        return (None,) * len(grids)
    outer, sides = WHOLE, (record.width, record.height)
    if getattr(rule, "do_pad", None):
        if not hasattr(rule, "pad_to_square"):
            return (None,) * len(grids)
        outer, sides = squared(record), (max(sides), max(sides))
    inner = cropped(rule, *sides) if getattr(rule, "do_center_crop", None) else WHOLE
    return (None if inner is None else inside(inner, outer),) * len(grids)


def whole(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of the picture, stretched or not: for processors whose settings speak of less."""
    return (WHOLE,) * len(grids)


def squared(record: MediaRecord) -> Box:
    """The square around a picture's middle, as long as its longer side."""
    longer = max(record.width, record.height)
    left, top = ((longer - side) // 2 for side in (record.width, record.height))
    return placed((left, top), (record.width, record.height), (longer, longer))


def placed(at: tuple[float, float], size: tuple[float, float], canvas: tuple[float, float]) -> Box:
    """Where a canvas lies over a picture of ``size`` that was put on it.

    Args:
        at: left and top of the picture on the canvas.
        size: of the picture, in the canvas's pixels: width and height.
        canvas: likewise.

    >>> placed((0, 0), (100, 50), (100, 100))
    (0.0, 0.0, 1.0, 2.0)
    """
    (x, y), (wide, high) = at, size
    return 0.0 - x / wide, 0.0 - y / high, (canvas[0] - x) / wide, (canvas[1] - y) / high


def inside(box: Box, outer: Box) -> Box:
    """``box``, given in shares of ``outer``, in what ``outer`` is given in."""
    left, top, right, bottom = outer
    wide, high = right - left, bottom - top
    return left + box[0] * wide, top + box[1] * high, left + box[2] * wide, top + box[3] * high


def rule_for(processor: Any, kind: str) -> Any:
    """The processor of pictures, or of videos where there is one."""
    images = getattr(processor, "image_processor", None)
    if kind == "video":
        return getattr(processor, "video_processor", None) or images
    return images


def cropped(rule: Any, width: int, height: int) -> Box | None:
    """What is left of a picture whose middle is cut out, once it was resized.

    Args:
        rule: the processor of pictures, with ``size`` and ``crop_size``.
        width: of the picture, in pixels.
        height: likewise.
    """
    size = _sides(rule.size, width, height) if getattr(rule, "do_resize", True) else (width, height)
    crop = _sides(rule.crop_size, width, height)
    if size is None or crop is None:
        return None
    left, top = ((now - kept) // 2 for now, kept in zip(size, crop, strict=True))
    return left / size[0], top / size[1], (left + crop[0]) / size[0], (top + crop[1]) / size[1]


def _sides(size: Any, width: int, height: int) -> tuple[int, int] | None:
    """Width and height that a setting of a processor comes to; ``None`` if it says others."""
    said: Mapping[str, int] = {k: v for k, v in dict(size).items() if v is not None}
    if said.keys() >= {"height", "width"}:
        return said["width"], said["height"]
    if said.keys() == {"shortest_edge"}:
        short, edge = min(width, height), said["shortest_edge"]
        return tuple(  # type: ignore[return-value]  # two of them
            edge if side == short else int(edge * side / short) for side in (width, height)
        )
    return None


def fitted(width: int, height: int, wide: int, high: int) -> Box:
    """The middle of a picture that fills a cell of ``wide`` x ``high`` and keeps its shape."""
    x, y = min(1.0, wide * height / (high * width)), min(1.0, high * width / (wide * height))
    return (1 - x) / 2, (1 - y) / 2, (1 + x) / 2, (1 + y) / 2


def frame_grid(config: Any) -> tuple[int, int]:
    """Rows and columns of frames in one picture, where a checkpoint wants clips so; else 1, 1."""
    rows, columns = getattr(config, "frame_grid", (1, 1))
    return rows, columns
