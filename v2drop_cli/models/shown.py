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
    """The rule of most processors: resized as a whole, or to its shorter side and then cropped.

    A picture that is padded has a place of its own in each family; here it is not known.
    """
    rule = rule_for(processor, record.kind)
    if rule is None or getattr(rule, "do_pad", None):
        return (None,) * len(grids)
    if getattr(rule, "do_center_crop", None):
        return (cropped(rule, record.width, record.height),) * len(grids)
    return (WHOLE,) * len(grids)


def whole(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of the picture, stretched or not: for processors whose settings speak of less."""
    return (WHOLE,) * len(grids)


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
