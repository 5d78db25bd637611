"""Idefics2: 64 learned queries read a picture, or each of its quarters and the whole.

Every ``<image>`` is one vision token: the answer of one query, which looked at all of its picture
(arXiv 2405.02246). All of them are droppable; the tokens around a picture are text and stay.
The decoder is Mistral's, with its sliding window. No query has a place over the pixels, so no
picture of the kept tokens can be drawn. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.idefics3 import (
    ENCODED,
    decoder,
    multimodal,
    projector,
    vision_tower,
)
from v2drop_cli.models.shapes import check_quartered
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_NOWHERE = (1.0, 1.0, 1.0, 1.0)
# The model card of HuggingFaceM4/idefics2-8b, and transformers' Idefics2ImageProcessor: 378 to 980
# pixels a side are so many of the tower's patches; and unless it is told not to, as the card says,
# the processor shows quarters and the whole.
_SHORTEST, _LONGEST, _CROPS = 27, 70, 5


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_quartered(processor, media)
    return process_images(processor, config, media, prompt)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid of a single row a picture or quarter, without a place over the pixels."""
    queries = config.perceiver_config.resampler_n_latents
    counts = (tensors["input_ids"] == config.image_token_id).sum(dim=1).tolist()
    return tuple((Grid(1, 1, queries, _NOWHERE),) * (count // queries) for count in counts)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """The quarters of each picture and the whole of it, all filled up to the largest of them."""
    token, queries = config.image_token_id, config.perceiver_config.resampler_n_latents
    # What is around a picture has the id below its own, as in the published tokenizer.
    ids = [[token - 1, *([*[token] * queries, token - 1] * _CROPS)] for _ in media]
    sizes = torch.tensor([size for item in media for size in _fitted(config, item)]).reshape(-1, 2)
    if not len(sizes):
        return Synthetic(ids, {})
    height, width = sizes.amax(dim=0).tolist()
    rows = torch.arange(height) < sizes[:, :1]
    columns = torch.arange(width) < sizes[:, 1:]
    tensors = {
        "pixel_values": noise(1, len(sizes), 3, height, width),
        "pixel_attention_mask": (rows[:, :, None] & columns[:, None]).long()[None],
    }
    return Synthetic(ids, tensors)


def _fitted(config: Any, item: SyntheticMedia) -> list[tuple[int, int]]:
    """Height and width of each crop, by the processor's rule."""
    least, most = (n * config.vision_config.patch_size for n in (_SHORTEST, _LONGEST))
    top, left = item.height // 2, item.width // 2
    halves = [(h, w) for h in (top, item.height - top) for w in (left, item.width - left)]
    found = []
    for height, width in (*halves, (item.height, item.width)):
        ratio, size = width / height, (height, width)
        if width >= height and width > most:
            size = int(most / ratio), most
        elif height > width and height > most:
            size = most, int(most * ratio)
        found.append((max(size[0], least), max(size[1], least)))
    return found


IDEFICS2 = Family(
    name="idefics2",
    model_types=("idefics2",),
    placeholders=(IMAGE, ENCODED),
    grids=_grids,
    process=_process,
    multimodal=multimodal,
    decoder=decoder,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
