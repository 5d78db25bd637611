"""Granite 4 Vision: any-resolution tiles, features added between the decoder's layers.

An image is its thumbnail and its tiles joined to one picture, cut to its shape, with a learned
newline token after each row. A window of the tower's patches becomes one token. All carry the
placeholder's id and all are droppable, newlines too. The model takes no video.

Placeholders enter the decoder empty. Features of several of the tower's layers, and of the four
corners of each 2 x 2 patches, are added to them on the way: each to what enters one layer. Tokens
that were dropped get no more of them, survivors get their own. Nothing can be dropped before the
first of these layers, for until then there is no picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.llava_next import anyres_grids
from v2drop_cli.models.families.llava_onevision import anyres_shown
from v2drop_cli.models.later import Later
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.tiles import placeholders, tiled_images
from v2drop_cli.records import Grid


def _waiting(config: Any, tensors: Mapping[str, Tensor]) -> dict[int, Iterator[tuple[Grid, ...]]]:
    patches = config.vision_config.image_size // config.vision_config.patch_size
    side = int(patches * Fraction(config.downsample_rate))
    return {config.image_token_id: anyres_grids(config, tensors, side)}


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = _waiting(config, tensors)
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    tensors = tiled_images(config, media)
    return Synthetic(placeholders(config, media, _waiting(config, tensors)), tensors)


def _first_layer(config: Any) -> int:
    layers = [layer for _, layer in config.deepstack_layer_map or ()]
    return min(int(layer) for layer in (*layers, *config.spatial_target_layers))


def _later(arguments: Mapping[str, Any]) -> Later | None:
    features, where = arguments.get("deepstack_features"), arguments.get("vision_mask")
    if not features or where is None:
        return None
    # The mask has a copy for every feature.
    return Later("deepstack_features", features, where[..., 0], alone=True)


GRANITE4_VISION = Family(
    name="granite4_vision",
    model_types=("granite4_vision",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    shown=anyres_shown,
    first_droppable_layer=_first_layer,
    full_until="no picture was added to the prompt before that",
    later=_later,
    vision_tower=vision_tower,
    media=("image", "images"),
    synthetic=_synthetic,
)
