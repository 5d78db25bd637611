"""Gemma 3n: MobileNet pictures, four states a token, inputs for each layer, layers that share keys.

A picture is 256 tokens ``<image_soft_token>``, one for each place of the tower's last map, and all
of them are droppable; the markers and line breaks around them are text and stay, as does audio.
The tower is timm's, which must be installed to load a model. There is no video.

Layers hand on four states of each token side by side; how far a token moved is how far they moved
together. Four of five layers see the last 512 columns only. The last layers (10 of 30 in E2B, 15 of
35 in E4B) have no keys of their own, but attend to those of an earlier layer: drops come no later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.synthetic.patches import WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

# processor_config.json of google/gemma-3n-*-it: pixels along a side. timm's towers do not say.
_SIZE = 768


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One square grid a picture."""
    side = isqrt(config.vision_soft_tokens_per_image)
    counts = (tensors["input_ids"] == config.image_token_id).sum(dim=1).tolist()
    return tuple((Grid(1, side, side),) * (count // side**2) for count in counts)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    picture = [config.image_token_id] * config.vision_soft_tokens_per_image
    ids = [WORD, config.boi_token_id, *picture, config.eoi_token_id, WORD]
    size = getattr(config.vision_config, "image_size", _SIZE)
    pixels = {"pixel_values": noise(len(media), 3, size, size)} if media else {}
    return Synthetic([ids] * len(media), pixels)


GEMMA3N = Family(
    name="gemma3n",
    model_types=("gemma3n",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    types_name="token_type_ids",
    vision_tower=vision_tower,
    media=("image", "images"),
    synthetic=_synthetic,
)
