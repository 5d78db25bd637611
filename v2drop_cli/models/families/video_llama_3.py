"""VideoLLaMA 3: pictures of any size, videos whose still parts are left out (arXiv 2501.13106).

Every ``<|image_pad|>`` is one patch of an image, 14 x 14 pixels; every ``<|video_pad|>`` is four
patches of one frame, and both are droppable. The processor itself leaves out tokens of a frame
that look like those of the frame before; those that are left are placed one by one. Frames are
kept apart by their times, which are text and stay. Positions count tokens, as in any text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import (
    FRAMES_PER_S,
    WORD,
    Limits,
    Patches,
    frame_patches,
    synthetic_patches,
)
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# Of transformers' VideoLlama3ImageProcessor and VideoLlama3VideoProcessor: of a picture, and of all
# frames together; how many patches a token covers each way.
_IMAGE_LIMITS, _IMAGE_MERGE = Limits(56 * 56, 28 * 28 * 1280), 1
_LEAST_OF_A_FRAME, _MOST_OF_A_VIDEO, _VIDEO_MERGE = 128 * 28 * 28, 28 * 28 * 768, 2


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_ratio(config, media, enlarged=())
    return chat.process(processor, config, media, prompt)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting: dict[int, Iterator[tuple[Grid, ...]]] = {
        config.image_token_id: _images(tensors),
        config.video_token_id: _frames(tensors),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _tokens(tensors: Mapping[str, Tensor], kind: str) -> Iterator[tuple[int, int, int]]:
    """Time steps, rows and columns of tokens of each picture or video."""
    if f"{kind}_grid_thw" not in tensors:
        return
    merges = tensors[f"{kind}_merge_sizes"].tolist()
    for (t, h, w), merge in zip(tensors[f"{kind}_grid_thw"].tolist(), merges, strict=True):
        yield t, h // merge, w // merge


def _images(tensors: Mapping[str, Tensor]) -> Iterator[tuple[Grid, ...]]:
    return ((Grid(t, h, w),) for t, h, w in _tokens(tensors, "image"))


def _frames(tensors: Mapping[str, Tensor]) -> Iterator[tuple[Grid, ...]]:
    """What is left of each frame, for as many frames as there are."""
    kept = tensors.get("video_compression_mask")
    flags = None if kept is None else iter(kept.tolist())
    for t, h, w in _tokens(tensors, "video"):
        for _ in range(t):
            if flags is None:
                yield (Grid(1, h, w),)
            else:
                yield tuple(_left([next(flags) for _ in range(h * w)], h, w))


def _left(flags: Sequence[bool], rows: int, columns: int) -> Iterator[Grid]:
    """One grid of a whole frame, else one of each unbroken stretch of a row."""
    if all(flags):
        yield Grid(1, rows, columns)
        return
    for y in range(rows):
        row = enumerate(flags[y * columns : (y + 1) * columns])
        for kept, stretch in groupby(row, key=lambda at: at[1]):
            if kept:
                places = [x for x, _ in stretch]
                left, right = places[0] / columns, (places[-1] + 1) / columns
                yield Grid(1, 1, len(places), (left, y / rows, right, (y + 1) / rows))


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Noise moves everywhere, so nothing of a made-up video is left out."""
    made = synthetic_patches(config, media, _patches, _span)
    tensors = dict(made.tensors)
    for kind, merge in (("image", _IMAGE_MERGE), ("video", _VIDEO_MERGE)):
        if f"{kind}_grid_thw" in tensors:
            grids = tensors[f"{kind}_grid_thw"]
            tensors[f"{kind}_merge_sizes"] = torch.full((len(grids),), merge)
    if "video_grid_thw" in tensors:
        count = int(tensors["video_grid_thw"].prod(dim=1).sum()) // _VIDEO_MERGE**2
        tensors["video_compression_mask"] = torch.ones(count, dtype=torch.bool)
    return Synthetic(made.ids, tensors)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    if item.frames is None:
        return frame_patches(config, item, _IMAGE_LIMITS, _IMAGE_MERGE)
    limits = Limits(_LEAST_OF_A_FRAME, _MOST_OF_A_VIDEO // item.frames)
    return frame_patches(config, item, limits, _VIDEO_MERGE)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    """Frames after their times: "Time 0.5s:", each but the first after a comma."""
    steps, h, w = patches
    if item.frames is None:
        return [config.image_token_id] * (h * w)
    tokens = [config.video_token_id] * (h * w // _VIDEO_MERGE**2)
    ids: list[int] = []
    for step in range(steps):
        digits = len(f"{step / FRAMES_PER_S:.1f}")
        ids += [WORD] * ((step > 0) + 2 + digits + 2) + tokens
    return ids


def _tower(model: Module) -> Module | None:
    return getattr(inner_model(model), "vision_model", None)


VIDEO_LLAMA_3 = Family(
    name="video_llama_3",
    model_types=("video_llama_3",),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=_process,
    vision_tower=_tower,
    projector=lambda model: getattr(inner_model(model), "projector", None),
    synthetic=_synthetic,
)
