"""Muse Glimmer: pictures of any size, frames between times, a decoder with sliding windows.

Every ``<|patch|>`` and ``<|video|>`` is one vision token, 28 x 28 pixels of one image or of two
frames; all of them are droppable. What begins and ends a picture or a video, the time before each
pair of frames and the separator after it are text and stay. Each fourth layer has neither a
window nor rotary tables, the others have both. Muse Spark is the same with experts, and it hears:
its audio tokens stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, floor, prod
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import Module

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import ask, media_arguments
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.families.qwen3_vl import steps_of
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.picture_limits import check_media
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import WORD, Patches, frames_a_step, synthetic_patches
from v2drop_cli.models.templates import Turn

if TYPE_CHECKING:
    from v2drop_cli.media import Media


# Most tokens of a picture and of a frame, of the processors' classes: no file of one is known.
_MOST, _MOST_OF_A_FRAME = 4096, 144


def _projector(model: Module) -> Module:
    """The first module between tower and decoder."""
    adapter: Module = inner_model(model).vision_adapter  # type: ignore[assignment]
    return adapter


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn. The processor writes the times that its video part returns when asked."""
    check_media(processor, media)
    arguments = media_arguments(media)
    if "videos" in arguments:
        arguments["return_metadata"] = True
    tensors = ask(processor, Turn([item.kind for item in media], prompt), arguments)
    tensors.pop("video_metadata", None)
    return tensors


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per image and per pair of frames, in prompt order."""
    merge = config.vision_config.merge_size
    waiting = {
        config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge),
        config.video_token_id: steps_of(tensors.get("video_grid_thw"), merge),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """The configuration names no ids of delimiters: they are words, and a time is one, too."""
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    """The grid of tokens whose shape is nearest to the picture's, by the processor's own rule.

    The processor's module needs torchvision, so its rule is written again here; a test compares.
    """
    vision, most = config.vision_config, _MOST if item.frames is None else _MOST_OF_A_FRAME
    token = vision.patch_size * vision.merge_size
    rows, columns = item.height / token, item.width / token
    if rows * columns > most:
        ratio = columns / rows
        rows = (most / ratio) ** 0.5
        columns = rows * ratio
    near = set(product((floor(rows), ceil(rows)), (floor(columns), ceil(columns))))
    grids = [grid for grid in near if min(grid) >= 1 and prod(grid) <= most]
    grids = grids or [(max(1, round(rows)), max(1, round(columns)))]
    best = min(grids, key=lambda grid: abs(grid[0] / grid[1] - item.height / item.width))
    steps = -(-(item.frames or 1) // frames_a_step(config))
    return steps, best[0] * vision.merge_size, best[1] * vision.merge_size


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    tokens = patches[1] * patches[2] // config.vision_config.merge_size**2
    if item.frames is None:
        return [WORD, *[config.image_token_id] * tokens, WORD]
    return [WORD, *[WORD, *[config.video_token_id] * tokens, WORD] * patches[0]]


MUSE_GLIMMER = Family(
    name="muse_glimmer",
    model_types=("muse_glimmer", "muse_spark"),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=_process,
    vision_tower=vision_tower,
    projector=_projector,
    synthetic=_synthetic,
)
