"""Kimi K2.5: pictures of any size before a DeepSeek-V3 decoder (arXiv 2602.02276).

Every ``<|media_pad|>`` is one vision token, 28 x 28 pixels; all of them are droppable. The words
and markers around a picture are text and stay. The decoder's KV cache holds compressed keys and
values (latents); after a drop each layer's is born short like any other.

The model takes video, too, in clips of four frames, pooled over time. transformers 5.23 cuts the
pooled features by the frames before pooling and fails, so only pictures are served.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.shown import Box, placed
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid, MediaRecord

# preprocessor_config.json of moonshotai/Kimi-K2.5: patches in all, and patches along a side.
_MOST, _LONGEST = 16384, 512


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    merge = config.vision_config.merge_kernel_size[0]
    waiting = {config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _patches(item: SyntheticMedia, patch: int, merge: int) -> tuple[int, int]:
    """Rows and columns of patches of a picture, shrunk and filled up by the processor's own rule.

    The processor's module needs torchvision, so its rule is written again here; a test compares.
    """
    height, width, longest = item.height, item.width, _LONGEST * patch
    whole = max(1, height // patch) * max(1, width // patch)
    scale = min(1.0, math.sqrt(_MOST / whole), longest / height, longest / width)
    sides = (min(max(1, int(side * scale)), longest) for side in (height, width))
    rows, columns = (-(-side // (merge * patch)) * merge for side in sides)
    return rows, columns


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """Shrunk if it must be, then filled up at the right and below to whole tokens."""
    from transformers.models.kimi_k25.image_processing_kimi_k25 import navit_resize

    rule = processor.image_processor
    limits = (rule.patch_size, rule.merge_size, rule.max_patches, rule.size["max_height"])
    (high, wide), (below, right) = navit_resize(record.height, record.width, *limits)
    return [placed((0, 0), (wide, high), (right, below))] * len(grids)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """The words between a picture's markers are the chat template's, and left out."""
    patch, merge = config.vision_config.patch_size, config.vision_config.merge_kernel_size[0]
    ids: list[list[int]] = []
    grids: list[tuple[int, int, int]] = []
    for item in media:
        rows, columns = _patches(item, patch, merge)
        grids.append((1, rows, columns))
        tokens = grids[-1][1] * grids[-1][2] // merge**2
        start, end = config.vision_start_token_id, config.vision_end_token_id
        ids.append([start, *[config.image_token_id] * tokens, end])
    if not grids:
        return Synthetic(ids, {})
    patches = sum(height * width for _, height, width in grids)
    pixels = {"pixel_values": noise(patches, 3, patch, patch)}
    return Synthetic(ids, pixels | {"image_grid_thw": torch.tensor(grids)})


KIMI_K25 = Family(
    name="kimi_k25",
    model_types=("kimi_k25",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    shown=_shown,
    vision_tower=vision_tower,
    projector=lambda model: getattr(getattr(model, "model", None), "mm_projector", None),
    media=("image", "images"),
    synthetic=_synthetic,
)
