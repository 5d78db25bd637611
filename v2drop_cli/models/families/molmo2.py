"""Molmo 2: overlapping crops of a picture, videos, and pictures that attend both ways.

A picture is shown whole, then again at a higher resolution; a token pools 2 x 2 patches of it, or
3 x 3 of a frame. Every ``<im_patch>`` is droppable. What stands between them is text and stays: the
mark after each row, the marks around a picture or a frame, a frame's time in seconds.

All that belongs to pictures, their marks too, attends to all else that does, in both directions;
the text around and between attends causally. A shortened layer keeps this. Flash kernels are
refused: they take no mask, so transformers cannot tell them what attends both ways. The model takes
images or one video in a prompt, not both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models import chat
from v2drop_cli.models.arguments import CACHE
from v2drop_cli.models.base import IMAGE, Family, Grids
from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.glm4v import FRAME, refuse_both
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.projections import Projections, unknown_decoder
from v2drop_cli.models.shown import Box, placed, rule_for
from v2drop_cli.models.spans import counted_grids
from v2drop_cli.records import Grid, MediaRecord

if TYPE_CHECKING:
    from v2drop_cli.media import Media

TYPES = "mm_token_type_ids"  # 1 for all that belongs to a picture or a frame


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """Two grids a picture: whole, then at a higher resolution; one grid a frame."""
    return counted_grids(config, tensors, chain(_of_images(tensors), _of_frames(tensors)))


def _of_images(tensors: Mapping[str, Tensor]) -> Iterator[Grid]:
    for low_rows, low_columns, rows, columns in _listed(tensors, "image_grids"):
        yield Grid(1, low_rows, low_columns)
        yield Grid(1, rows, columns)


def _of_frames(tensors: Mapping[str, Tensor]) -> Iterator[Grid]:
    for frames, rows, columns in _listed(tensors, "video_grids"):
        yield from [Grid(1, rows, columns)] * frames


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of it; where patches do not fill the last window of a token, that reaches beyond."""
    rule = rule_for(processor, record.kind)
    patch, pool = rule.patch_size, rule.pooling_size
    square = (rule.size["height"], rule.size["width"])
    canvases = [square] * len(grids)
    if record.kind == "image" and len(grids) == 2:  # the second in more detail
        from transformers.models.molmo2.image_processing_molmo2 import compute_crop_geometry

        limits = (rule.max_crops, list(rule.overlap_margins), square[0], patch)
        canvases[1] = compute_crop_geometry(record.height, record.width, *limits)[2:]
    return [_windows([side // patch for side in canvas], pool) for canvas in canvases]


def _windows(patches: Sequence[int], pool: Sequence[int]) -> Box:
    """Windows of patches over a picture of (rows, columns) patches, as even as they can be."""
    more = [-count % window for count, window in zip(patches, pool, strict=True)]
    (rows, columns), (below, right) = patches, (a + b for a, b in zip(patches, more, strict=True))
    return placed((more[1] // 2, more[0] // 2), (columns, rows), (right, below))


def _listed(tensors: Mapping[str, Tensor], name: str) -> list[list[int]]:
    found: list[list[int]] = tensors[name].tolist() if name in tensors else []
    return found


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    refuse_both({item.kind for item in media}, config)
    if sum(item.kind == "video" for item in media) > 1:
        raise MediaArgumentError(
            f"{config.model_type} models take one video in a prompt",
            hint="ask about one after the other",
        )
    return chat.process(processor, config, media, prompt)


def _blocks(config: Any, arguments: Mapping[str, Any]) -> Tensor | None:
    """One block for all pictures of a row, when the model itself makes one: at a prefill."""
    types, cache = arguments.get(TYPES), arguments.get(CACHE)
    first = cache is None or not cache.is_initialized
    shown = IMAGE.filled(arguments) or FRAME.filled(arguments)
    if types is None or not (first or shown):
        return None
    return torch.where(types == 1, 0, -1)


def _refusal(config: Any) -> str | None:
    why = "flash kernels take no mask that says which columns attend both ways; sdpa is right"
    return refuse_flash(config, why) or refuse_decoder(config)


def _unknown(config: Any) -> str | None:
    """Rows of attention are known where each head is normalised by itself, as in Qwen3."""
    if config.get_text_config().qk_norm_type != "qwen3":
        return "nobody has shown how attention is made again, row by row, where OLMo's norm is"
    return unknown_decoder(config)


MOLMO2 = Family(
    name="molmo2",
    model_types=("molmo2",),
    placeholders=(IMAGE, FRAME),
    grids=_grids,
    process=_process,
    numbers_rows=True,
    shown=_shown,
    refusal=_refusal,
    blocks=_blocks,
    vision_tower=vision_tower,
    projector=projector,
    projections=Projections(refusal=_unknown),
)
