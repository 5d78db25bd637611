"""InternVL3, as transformers has it: tiles of 448 pixels, pixel-shuffled (arXiv 2504.10479).

An image is up to 12 tiles of 16 x 16 tokens each and, if they are more than one, a thumbnail
after them; a video frame is one such square. All carry the id of ``<IMG_CONTEXT>``, of images
and frames alike, and all are droppable: tiles and thumbnail compete for the same places.
``<img>``, ``</img>`` and the words before a frame (``Frame1:``) are text and stay.

Which tiles an image was cut into is in no tensor; the processor's rule is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.spans import CUTS, cut_squares
from v2drop_cli.models.synthetic.tiles import noise

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_PUBLISHED_TILES = (1, 12)  # fewest and most


def _side(config: Any) -> int:
    """Tokens along one side of a tile."""
    vision = config.vision_config
    return int(vision.image_size[0] // vision.patch_size[0] * config.downsample_ratio)


def process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn, and how its pictures were cut."""
    rule = processor.image_processor
    tiles: list[tuple[int, int]] = []
    for item in media:
        width, height = item.frames[0].size
        cut = _cut(config, width, height, (rule.min_patches, rule.max_patches))
        tiles += [cut] if item.kind == "image" else [(1, 1)] * len(item.frames)
    tensors = dict(chat.process(processor, config, media, prompt))
    return tensors | {CUTS: torch.tensor(tiles).reshape(-1, 2)}


def _cut(config: Any, width: int, height: int, limits: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the tiles of a picture, by the processor's own rule."""
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas

    columns, rows = get_optimal_tiled_canvas(
        (height, width), tuple(config.vision_config.image_size), *limits
    )
    return rows, columns


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    side, tiles = _side(config), iter(tensors.get(CUTS, torch.empty(0, 2)).tolist())
    found = []
    for row in tensors["input_ids"].tolist():
        runs = [len(list(run)) for token, run in groupby(row) if token == config.image_token_id]
        counts = [run // side**2 for run in runs]
        found.append(tuple(g for n in counts for g in cut_squares(n, next(tiles, ()), side)))
    return tuple(found)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Ids of the delimiters as in the published tokenizers, right below the placeholder's.

    A frame's words are counted as Qwen2's tokenizer splits them, a token a digit; their ids
    mean nothing.
    """
    token, per_tile, squares = config.image_token_id, _side(config) ** 2, 0
    begin, end, word = token - 2, token - 1, token - 2
    ids: list[list[int]] = []
    for item in media:
        if item.frames is None:
            rows, columns = _cut(config, item.width, item.height, _PUBLISHED_TILES)
            count = rows * columns + (rows * columns > 1)
            ids.append([begin, *[token] * (count * per_tile), end])
        else:
            count, run = item.frames, []
            for frame in range(1, count + 1):
                # "Frame", its digits, ":", " ", and a line break before all but the first.
                words = len(str(frame)) + 3 + (frame > 1)
                run += [*[word] * words, begin, *[token] * per_tile, end]
            ids.append(run)
        squares += count
    size = config.vision_config.image_size
    return Synthetic(ids, {"pixel_values": noise(squares, 3, *size)} if media else {})


INTERNVL = Family(
    name="internvl",
    model_types=("internvl",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process,
    grid_tensors=(CUTS,),
    vision_tower=vision_tower,
    projector=projector,
    synthetic=_synthetic,
)
