"""Muse Glimmer: pictures of any size, frames between times, a decoder with sliding windows.

Every ``<|patch|>`` and ``<|video|>`` is one vision token, 28 x 28 pixels of one image or of two
frames; all of them are droppable. What begins and ends a picture or a video, the time before each
pair of frames and the separator after it are text and stay. Each fourth layer has neither a
window nor rotary tables, the others have both. Muse Spark is the same with experts, and it hears:
its audio tokens stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import Module

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids
from v2drop_cli.models.chat import ask, media_arguments
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.families.qwen3_vl import steps_of
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.picture_limits import check_media
from v2drop_cli.models.spans import walk
from v2drop_cli.models.templates import Turn

if TYPE_CHECKING:
    from v2drop_cli.media import Media


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


MUSE_GLIMMER = Family(
    name="muse_glimmer",
    model_types=("muse_glimmer", "muse_spark"),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=_process,
    vision_tower=vision_tower,
    projector=_projector,
)
