"""Idefics2: 64 learned queries read a picture, or each of its quarters and the whole.

Every ``<image>`` is one vision token: the answer of one query, which looked at all of its picture
(arXiv 2405.02246). All of them are droppable; the tokens around a picture are text and stay.
The decoder is Mistral's, with its sliding window. No query has a place over the pixels, so no
picture of the kept tokens can be drawn. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.idefics3 import (
    ENCODED,
    decoder,
    multimodal,
    projector,
    vision_tower,
)
from v2drop_cli.models.shapes import check_quartered
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_NOWHERE = (1.0, 1.0, 1.0, 1.0)


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
)
