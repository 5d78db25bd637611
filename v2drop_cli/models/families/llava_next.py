"""LLaVA-NeXT (LLaVA-1.6): any-resolution tiles with newline tokens (CLIP or similar tower).

An image is its thumbnail (24 x 24 tokens) and its tiles joined to one picture, cut to its shape,
with a learned newline token after each row. All carry the placeholder's id and all are
droppable, newlines too: they compete for places like any other token of the span, and a
schedule's counts include them. Each of several images is tiled. The model takes no video.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.families.llava_onevision import anyres_shown, unpadded
from v2drop_cli.models.projections import SQUARE, Crops, Encoded, Layout
from v2drop_cli.models.spans import walk, with_newlines
from v2drop_cli.models.synthetic.tiles import placeholders, tiled_images
from v2drop_cli.records import Grid


def anyres_grids(
    config: Any, tensors: Mapping[str, Tensor], side: int | None = None
) -> Iterator[tuple[Grid, ...]]:
    """Thumbnail and joined tiles of each image, of ``side`` tokens each way: one a patch."""
    side = side or config.vision_config.image_size // config.vision_config.patch_size
    for size in tensors["image_sizes"].tolist() if "image_sizes" in tensors else ():
        yield Grid(1, side, side), with_newlines(*unpadded(config, size, side))


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {config.image_token_id: anyres_grids(config, tensors)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    tensors = tiled_images(config, media)
    waiting = {config.image_token_id: anyres_grids(config, tensors)}
    return Synthetic(placeholders(config, media, waiting), tensors)


# Rows and columns of tiles, then rows and columns of tokens that are left once padding is cut.
Tiled = tuple[int, int, int, int]


def _layouts(config: Any, encoded: Encoded) -> Sequence[Layout]:
    """Which patches of the thumbnail and the tiles the tokens of each image stand for.

    ``image_sizes`` tells. From transformers 5.20 on, ``generate`` passes features without them;
    then all tilings are tried that have as many tokens and as many crops. Most often it is one.
    """
    side = config.vision_config.image_size // config.vision_config.patch_size
    sizes = encoded.arguments.get("image_sizes")
    if sizes is not None:
        tiled = [_tiled(config, size, side) for size in sizes.tolist()]
        return [[_crops(one, side) for one in tiled]]
    features = encoded.arguments["mm_encoder_outputs"]["image"].pooler_output
    rows = _by_row([len(image) for image in features], encoded.tokens)
    for copies in range(1, len(rows) + 1):
        images = [length for row in rows[::copies] for length in row]
        choices = [_tilings(config, length, side) for length in images]
        found = [
            [_crops(one, side) for one in tilings]
            for tilings in itertools.product(*choices)
            if sum(1 + one[0] * one[1] for one in tilings) == encoded.pictures
        ]
        if found and len(rows) % copies == 0:
            return found
    return []


def _by_row(lengths: Sequence[int], tokens: Sequence[int]) -> list[list[int]]:
    """Lengths of images, dealt out to rows of so many tokens."""
    waiting, rows = iter(lengths), []
    for left in tokens:
        row: list[int] = []
        while left > sum(row) and (length := next(waiting, 0)):
            row.append(length)
        rows.append(row)
    return rows


def _tiled(config: Any, size: Sequence[int], side: int) -> Tiled:
    """The tiling of an image of ``size``, height and width in pixels."""
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

    pixels = config.vision_config.image_size
    tiles = get_anyres_image_grid_shape(list(size), config.image_grid_pinpoints, pixels)
    return (*tiles, *unpadded(config, list(size), side))


def _tilings(config: Any, length: int, side: int) -> list[Tiled]:
    """All tilings that make ``length`` tokens: padding is cut either from rows or from columns."""
    pixels = config.vision_config.image_size
    left = length - side**2  # a row of tokens has a newline at its end
    found: dict[Tiled, None] = {}
    for height, width in config.image_grid_pinpoints:
        rows, columns = height // pixels, width // pixels
        most = (rows * side, columns * side)
        for r, c in [(most[0], left // most[0] - 1), (left // (most[1] + 1), most[1])]:
            whole = r * (c + 1) == left and 0 <= r <= most[0] and 0 <= c <= most[1]
            if whole and (most[0] - r) % 2 == 0 and (most[1] - c) % 2 == 0:
                found[rows, columns, r, c] = None
    return list(found)


def _crops(tiled: Tiled, side: int) -> Crops:
    """The thumbnail, then the joined tiles, cut around their middle, a newline after each row.

    Two tiles side by side, of 2 x 2 patches each, nothing cut:

        crop   0 0 0 0    1 1 2 2 -1   1 1 2 2 -1
        patch  0 1 2 3    0 1 0 1  0   2 3 2 3  0
    """
    rows, columns, height, width = tiled
    y, x = torch.meshgrid(torch.arange(rows * side), torch.arange(columns * side), indexing="ij")
    top, left = (rows * side - height) // 2, (columns * side - width) // 2
    cut = (slice(top, top + height), slice(left, left + width))
    crop = (1 + y // side * columns + x // side)[cut]
    patch = (y % side * side + x % side)[cut]
    newline = torch.zeros(height, 1, dtype=torch.int64)
    thumbnail = torch.arange(side**2)
    return Crops(
        count=1 + rows * columns,
        crop=torch.cat([torch.zeros_like(thumbnail), torch.cat([crop, newline - 1], 1).flatten()]),
        patch=torch.cat([thumbnail, torch.cat([patch, newline], 1).flatten()]),
    )


LLAVA_NEXT = Family(
    name="llava_next",
    model_types=("llava_next",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process_images,
    shown=anyres_shown,
    vision_tower=vision_tower,
    projector=projector,
    tower=replace(SQUARE, layouts=_layouts, tiled=True),
    media=("image", "images"),
    synthetic=_synthetic,
)
