"""Mistral 3 (Mistral Small 3.1 and later): Pixtral tower, patches merged, any size of picture.

Every ``[IMG]`` is one vision token and all of them are droppable; ``[IMG_BREAK]`` after each
row but the last and ``[IMG_END]`` after a picture have ids of their own and stay. The model
takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import (
    IMAGE,
    Family,
    Grids,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.llava import projector, vision_tower
from v2drop_cli.models.spans import sized_grids
from v2drop_cli.models.synthetic.tiles import sized_pictures


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid a picture, as many tokens as merged patches fit."""
    patch = config.vision_config.patch_size * config.spatial_merge_size
    return sized_grids(config, tensors, patch)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    patch = config.vision_config.patch_size * config.spatial_merge_size
    return sized_pictures(config, media, patch)


MISTRAL3 = Family(
    name="mistral3",
    model_types=("mistral3",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
