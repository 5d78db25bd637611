"""Aya Vision: tiles and a thumbnail around Command R7B's decoder (arXiv 2505.08751).

Every ``<|IMG_PATCH|>`` is one vision token and all of them are droppable: tiles and thumbnail
compete for the same places. ``TILE_1``, ``TILE_GLOBAL`` and the like before each of them, and what
begins and ends a picture, are text and stay. The model takes no video; its decoder is Command A
Vision's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from v2drop_cli.models.families.cohere2_vision import COHERE2_VISION, process, side_of, synthetic


def _cut(picture: tuple[int, int], size: int, limits: tuple[int, int]) -> tuple[int, int]:
    """The nearest shape, by the processor's own rule."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    width, height = picture
    columns, rows = get_optimal_tiled_canvas((height, width), (size, size), *limits)
    return rows, columns


def _span(config: Any, count: int) -> list[int]:
    """Ids beside the placeholder's mean nothing: a marker before each square, a begin and an end.

    In the published tokenizer each marker is one token.
    """
    token = config.image_token_id
    square = [token - 1, *[token] * side_of(config) ** 2]
    return [token - 2, *square * count, token - 3]


AYA_VISION = replace(
    COHERE2_VISION,
    name="aya_vision",
    model_types=("aya_vision",),
    process=partial(process, _cut),
    synthetic=partial(synthetic, _cut, _span),
)
