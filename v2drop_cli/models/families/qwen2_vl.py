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

from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import (
    Limits,
    Patches,
    frame_patches,
    synthetic_patches,
    tokens_of,
)
from v2drop_cli.records import Grid
from v2drop_cli.schedule import PRESETS, preset

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: pictures longer than the processor takes.
    """
    check_ratio(config, media, enlarged=())
    return chat.process(processor, config, media, prompt)


def thw_grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per image or video, in prompt order, from the processor's ``*_grid_thw``."""
    merge = config.vision_config.spatial_merge_size
    waiting = {
        config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge),
        config.video_token_id: grids_of(tensors.get("video_grid_thw"), merge),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def grids_of(thw: Tensor | None, merge: int) -> Iterator[tuple[Grid, ...]]:
    """Grids of tokens from grids of patches ``[n, 3]``."""
    rows = [] if thw is None else thw.tolist()
    return ((Grid(t, h // merge, w // merge),) for t, h, w in rows)


# preprocessor_config.json of Qwen/Qwen2-VL-*-Instruct and Qwen/Qwen2.5-VL-*-Instruct; videos,
# having no file of their own there, are read with the same.
PUBLISHED = Limits(56 * 56, 16384 * 28 * 28)


def synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within the published limits, a picture's or each frame's."""
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    return frame_patches(config, item, PUBLISHED)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    token = config.image_token_id if item.frames is None else config.video_token_id
    tokens = [token] * (patches[0] * tokens_of(config, patches))
    return [config.vision_start_token_id, *tokens, config.vision_end_token_id]


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
    synthetic=synthetic,
)
