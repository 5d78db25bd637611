"""FastVLM: a hybrid tower that makes few tokens of a large square (arXiv 2412.13303).

Every ``<image>`` is 64 x 64 pixels of the square that a picture is cropped to (16 x 16 tokens at
1024 pixels), and all of them are droppable. The tower is FastViT's, which transformers takes from
the package timm. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.spans import unplaced
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

STRIDE = 64  # pixels that a token of FastViT's covers, each way


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid a picture, as many tokens as its square has."""
    pixels = tensors.get("pixel_values")
    rows, columns = (1, 1) if pixels is None else (side // STRIDE for side in pixels.shape[-2:])
    runs = unplaced(tensors["input_ids"], config.image_token_id, rows * columns)
    return tuple((Grid(1, rows, columns),) * len(row) for row in runs)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    tokens = config.image_seq_length
    ids, size = [[config.image_token_id] * tokens for _ in media], isqrt(tokens) * STRIDE
    return Synthetic(ids, {"pixel_values": noise(len(media), 3, size, size)} if media else {})


FAST_VLM = Family(
    name="fast_vlm",
    model_types=("fast_vlm",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
