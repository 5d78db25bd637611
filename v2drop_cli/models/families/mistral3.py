"""Mistral 3 (Mistral Small 3.1 and later): Pixtral tower, patches merged, any size of picture.

Every ``[IMG]`` is one vision token and all of them are droppable; ``[IMG_BREAK]`` after each
row but the last and ``[IMG_END]`` after a picture have ids of their own and stay. The model
takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import (
    IMAGE,
    Family,
    Grids,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.shapes import check_thin
from v2drop_cli.models.shown import whole
from v2drop_cli.models.spans import sized_grids
from v2drop_cli.models.synthetic.tiles import sized_pictures

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid a picture, as many tokens as merged patches fit."""
    patch = config.vision_config.patch_size * config.spatial_merge_size
    return sized_grids(config, tensors, patch)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: a picture too thin for the processor, or one alone of a single token:
            transformers (5.17 to 5.24) loses an axis of such a prompt.
    """
    check_thin(processor, config, media)
    tensors = process_images(processor, config, media, prompt)
    if sum(grid.h * grid.w for row in _grids(config, tensors) for grid in row) == 1:
        width, height = media[0].frames[0].size
        side = config.vision_config.patch_size * config.spatial_merge_size
        raise MediaArgumentError(
            f"{media[0].path.name} is {width} x {height} pixels, one vision token: "
            "Mistral 3 in transformers takes two and more",
            hint=f"show a picture of more than {side} pixels a side, or several",
        )
    return tensors


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    patch = config.vision_config.patch_size * config.spatial_merge_size
    return sized_pictures(config, media, patch)


MISTRAL3 = Family(
    name="mistral3",
    model_types=("mistral3",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    shown=whole,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
