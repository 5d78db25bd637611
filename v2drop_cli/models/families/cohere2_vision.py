"""Command A Vision: tiles and a thumbnail around a decoder with sliding windows.

Every image token is one vision token and all of them are droppable: tiles and thumbnail compete
for the same places. The line break after each of them, and what begins and ends a picture, are
text and stay. The model takes no video. Three layers of four have rotary tables and a window; each
fourth has neither.

Which tiles an image was cut into is in no tensor; the processor's rule is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.spans import CUTS, cut_squares
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# (width and height of a picture, of a tile, fewest and most tiles) → rows and columns of tiles.
Cut = Callable[[tuple[int, int], int, tuple[int, int]], tuple[int, int]]
_PUBLISHED_TILES = (1, 12)  # fewest and most


def side_of(config: Any) -> int:
    """Tokens along one side of a tile."""
    vision = config.vision_config
    return int(vision.image_size // vision.patch_size // config.downsample_factor)


def process(
    cut: Cut, processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn, with the cut of each picture."""
    tensors = dict(process_images(processor, config, media, prompt))
    rule = processor.image_processor
    limits, size = (rule.min_patches, rule.max_patches), config.vision_config.image_size
    cuts = [cut(item.frames[0].size, size, limits) for item in media]
    return tensors | {CUTS: torch.tensor(cuts).reshape(-1, 2)}


def grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid a tile and one a thumbnail, in prompt order."""
    side, cuts = side_of(config), iter(tensors.get(CUTS, torch.empty(0, 2)).tolist())
    found = []
    for row in tensors["input_ids"].tolist():
        left, grids = row.count(config.image_token_id) // side**2, list[Grid]()
        while left > 0:
            known = next(cuts, ())
            count = squares_of(*known) if known else left
            grids += cut_squares(count, known, side)
            left -= count
        found.append(tuple(grids))
    return tuple(found)


def squares_of(rows: int, columns: int) -> int:
    """How many squares a picture of so many tiles becomes: several are followed by the whole."""
    return rows * columns + (rows * columns > 1)


def synthetic(
    cut: Cut,
    span: Callable[[Any, int], list[int]],
    config: Any,
    media: Sequence[SyntheticMedia],
) -> Synthetic:
    """Made-up pictures; ``span``: (config, squares) → the ids of one."""
    size = config.vision_config.image_size
    counts = [squares_of(*cut((item.width, item.height), size, _PUBLISHED_TILES)) for item in media]
    ids = [span(config, count) for count in counts]
    return Synthetic(ids, {"pixel_values": noise(sum(counts), 3, size, size)} if media else {})


def _cut(picture: tuple[int, int], size: int, limits: tuple[int, int]) -> tuple[int, int]:
    """The least enlargement, or else the least reduction; of equal ones the fewest tiles.

    The processor's module needs torchvision, so its rule is written again here; a test compares.
    """
    width, height = picture
    sides = range(1, limits[1] + 1)
    canvases = [(c, r) for c in sides for r in sides if c * r <= limits[1]]
    canvases.sort(key=lambda canvas: canvas[0] * canvas[1])
    scales = [min(c * size / width, r * size / height) for c, r in canvases]
    larger = [scale for scale in scales if scale >= 1]
    columns, rows = canvases[scales.index(min(larger) if larger else max(scales))]
    return rows, columns


def _span(config: Any, count: int) -> list[int]:
    """Ids beside the placeholder's mean nothing: a break after each square, a begin and an end."""
    token = config.image_token_id
    square = [*[token] * side_of(config) ** 2, token - 1]
    return [token - 2, *square * count, token - 3]


COHERE2_VISION = Family(
    name="cohere2_vision",
    model_types=("cohere2_vision",),
    placeholders=(IMAGE,),
    grids=grids,
    process=partial(process, _cut),
    grid_tensors=(CUTS,),
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=partial(synthetic, _cut, _span),
)
