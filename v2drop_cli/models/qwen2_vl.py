"""Qwen2-VL: pictures of any size, M-RoPE, images and video (arXiv 2409.12191).

Every ``<|image_pad|>`` and ``<|video_pad|>`` is one vision token, 28 x 28 pixels of one image
or of two frames; all of them are droppable. ``<|vision_start|>`` and ``<|vision_end|>`` are
text and stay. Positions have three axes (time, height, width) and are never recomputed: a
survivor keeps its own triple, and text after a picture counts on from where it did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grid, Grids
from v2drop_cli.models.chat import chat_text, media_arguments
from v2drop_cli.schedule import PRESETS, preset

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def thw_grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per image or video, in prompt order, from the processor's ``*_grid_thw``."""
    merge = config.vision_config.spatial_merge_size
    waiting = {
        config.image_token_id: _grids_of(tensors.get("image_grid_thw"), merge),
        config.video_token_id: _grids_of(tensors.get("video_grid_thw"), merge),
    }
    return tuple(spans(row, waiting) for row in tensors["input_ids"].tolist())


def spans(row: list[int], waiting: Mapping[int, Iterator[Grid]]) -> tuple[Grid, ...]:
    """Walk one row of ids and take the next grid of its kind at each span's first token."""
    found, column = [], 0
    while column < len(row):
        grid = next(waiting[row[column]], None) if row[column] in waiting else None
        if grid is not None:
            found.append(grid)
        column += 1 if grid is None else grid.t * grid.h * grid.w
    return tuple(found)


def _grids_of(thw: Tensor | None, merge: int) -> Iterator[Grid]:
    rows = [] if thw is None else thw.tolist()
    return (Grid(t, h // merge, w // merge) for t, h, w in rows)


def process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn through the processor."""
    text = chat_text(processor, media, prompt)
    return dict(processor(text=[text], return_tensors="pt", **media_arguments(media)))


# The authors run 3/16/22 on the 7B model, whose decoder has 28 layers.
LAYERS = 28
QWEN_PRESETS = {
    **{name: str(preset(name, PRESETS, LAYERS)) for name in PRESETS},
    "official-code": "3:0.25,16:0.05,22:1t",
}

QWEN2_VL = Family(
    name="qwen2_vl",
    model_types=("qwen2_vl",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    presets=QWEN_PRESETS,
    preset_layers=LAYERS,
    preset_source="official-code: the authors' for Qwen2-VL-7B; paper-*: LLaVA-1.5's, scaled",
)
