"""Aria: learned queries read a picture, experts read the prompt (arXiv 2410.05993).

A picture becomes as many tokens as its size has queries (128 at 490 pixels, 256 at 980), and all of
them are droppable. Each query looks at the whole picture, so none has a place over the pixels. The
router sees one token at a time and experts have no capacity to run out of, so a token's output
does not depend on how many others are left. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.spans import unplaced
from v2drop_cli.models.synthetic.tiles import noise

# Of AriaProcessor: the side of the square that a picture is padded to, and its shortest side.
_SIDE, _SHORTEST = 980, 336


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One unplaced run a picture: all pictures of a forward have the same size."""
    return unplaced(tensors["input_ids"], config.image_token_id, _queries(config, tensors))


def _queries(config: Any, tensors: Mapping[str, Tensor]) -> int:
    pixels = tensors.get("pixel_values")
    side = _SIDE if pixels is None else pixels.shape[-1]
    patches = (side // config.vision_config.patch_size) ** 2
    return int(config.projector_patch_to_query_dict[patches])


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    tensors: dict[str, Tensor] = {}
    if media:
        masks = torch.stack([_shown(item) for item in media])
        tensors = {"pixel_values": noise(len(media), 3, _SIDE, _SIDE), "pixel_mask": masks}
    return Synthetic([[config.image_token_id] * _queries(config, tensors) for _ in media], tensors)


def _shown(item: SyntheticMedia) -> Tensor:
    """``[side, side]`` bool: where the picture is, scaled to fit; the rest is padding."""
    scale = _SIDE / max(item.height, item.width)
    mask = torch.zeros(_SIDE, _SIDE, dtype=torch.bool)
    if item.width >= item.height:
        mask[: max(int(item.height * scale), _SHORTEST)] = True
    else:
        mask[:, : max(int(item.width * scale), _SHORTEST)] = True
    return mask


ARIA = Family(
    name="aria",
    model_types=("aria",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
