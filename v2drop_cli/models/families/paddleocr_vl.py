"""PaddleOCR-VL: pictures of any size around an ERNIE decoder with M-RoPE (arXiv 2510.14528).

Every image placeholder is one vision token, 28 x 28 pixels, and all of them are droppable; the
delimiters around a picture are text and stay. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import (
    Limits,
    Patches,
    frame_patches,
    synthetic_patches,
    tokens_of,
)

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_LIMITS = Limits(384 * 384, 1536 * 1536)  # of transformers' PaddleOCRVLImageProcessor


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_ratio(config, media, enlarged=("image",))
    return process_images(processor, config, media, prompt)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    merge = config.vision_config.spatial_merge_size
    waiting = {config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    made = synthetic_patches(config, media, _patches, _span)
    if not media:
        return made
    pixels, side = made.tensors["pixel_values"], config.vision_config.patch_size
    pixels = pixels.view(len(pixels), 3, side, side)
    return Synthetic(made.ids, {**made.tensors, "pixel_values": pixels})


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    from transformers.models.paddleocr_vl.image_processing_pil_paddleocr_vl import smart_resize

    return frame_patches(config, item, _LIMITS, resize=smart_resize)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    tokens = [config.image_token_id] * tokens_of(config, patches)
    return [config.vision_start_token_id, *tokens, config.vision_end_token_id]


def _tower(model: Module) -> Module | None:
    return getattr(inner_model(model), "visual", None)


PADDLEOCR_VL = Family(
    name="paddleocr_vl",
    model_types=("paddleocr_vl",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    vision_tower=_tower,
    projector=lambda model: getattr(inner_model(model), "projector", None),
    media=("image", "images"),
    synthetic=_synthetic,
)
