"""Step 3.7: squares cut out of a picture, then the whole of it, before a decoder with experts.

Every ``<im_patch>`` is one vision token, 56 x 56 pixels, and all of them are droppable; what
begins and ends a square or a row of them is text and stays. Squares and the whole picture compete
for the same places. How many rows of squares there are is in no tensor; the processor's rule is
asked again. The model takes no video.

Most layers of the published decoder see a window, and have more attention heads than the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from math import isqrt, prod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.shown import WHOLE, Box, placed
from v2drop_cli.models.synthetic.patches import WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid, MediaRecord

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_TILES = "tiles"  # [n, 2]: rows and columns of each picture's squares; zeros if they are not known
_NOWHERE = (1.0, 1.0, 1.0, 1.0)
# Of transformers' processor: a token has so many patches each way, a square is 9 tokens wide where
# the whole picture is 13, and no picture has a side longer than six squares.
_STRIDE, _SQUARE, _LONGEST = 4, 9 / 13, 6


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn, and how its pictures were cut."""
    tensors = dict(process_images(processor, config, media, prompt))
    tiles = [_cut(processor.image_processor, *item.frames[0].size) for item in media]
    return tensors | {_TILES: torch.tensor(tiles).reshape(-1, 2)}


def _cut(rule: Any, width: int, height: int) -> tuple[int, int]:
    """Rows and columns of squares; none of a picture that was made square by filling it up."""
    found = rule._plan_patches(width, height, rule.size["height"], rule.patch_size)
    *_, columns, rows, filled = found
    return (0, 0) if filled else (rows, columns)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Squares and the whole picture; the marks around them are words."""
    if not media:
        return Synthetic([], {})
    token, whole = config.image_token_id, config.vision_config.image_size
    patches = _STRIDE * config.vision_config.patch_size  # pixels of a token, each way
    square = round(whole // patches * _SQUARE) * patches
    rule = _rule(whole, square)
    cuts = [_plan(rule, item.width, item.height) for item in media]
    ids = []
    for rows, columns in cuts:
        row = [WORD, *[token] * (square // patches) ** 2, WORD] * columns
        span = [i for n in range(rows) for i in (*row, *[WORD] * (n < rows - 1))]
        ids.append([*span, WORD, *[token] * (whole // patches) ** 2, WORD])
    counts = [prod(cut) for cut in cuts]
    tensors = {IMAGE.pixels: noise(len(media), 3, whole, whole)}
    tensors["num_local_patches"] = torch.tensor(counts)
    if sum(counts):
        tensors["pixel_values_local"] = noise(sum(counts), 3, square, square)
    return Synthetic(ids, tensors)


def _rule(whole: int, square: int) -> SimpleNamespace:
    """What a processor of such sizes decides by: its class has the rule, and needs torchvision."""
    from transformers.models.step3p7.image_processing_step3p7 import Step3p7ImageProcessor

    kind: Any = Step3p7ImageProcessor
    rule = SimpleNamespace(size={"height": whole}, patch_size=square)
    rule.max_image_size = _LONGEST * square
    rule._is_extreme_aspect = kind._is_extreme_aspect
    rule._plan_patches = partial(kind._plan_patches, rule)
    return rule


def _plan(rule: Any, width: int, height: int) -> tuple[int, int]:
    """Rows and columns of squares."""
    *_, columns, rows, _ = rule._plan_patches(width, height, rule.size["height"], rule.patch_size)
    return rows, columns


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of it, stretched; a very long one was made square first, at the right or below."""
    rule, width, height = processor.image_processor, record.width, record.height
    *_, filled = rule._plan_patches(width, height, rule.size["height"], rule.patch_size)
    longer = max(width, height)
    square = placed((0, 0), (width, height), (longer, longer))
    return [square if filled else WHOLE] * len(grids)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """A grid a square, then one of the whole picture."""
    pixels = tensors.get(IMAGE.pixels)
    pictures = 0 if pixels is None else len(pixels)
    squares = tensors.get("num_local_patches")
    cuts = tensors.get(_TILES, torch.zeros(pictures, 2, dtype=torch.long)).tolist()
    counts = [0] * pictures if squares is None else [int(n) for n in squares]
    waiting = iter(list(zip(counts, cuts, strict=False)))
    found = []
    for row in tensors["input_ids"].tolist():
        runs = [len(list(run)) for token, run in groupby(row) if token == config.image_token_id]
        found.append(tuple(_row([isqrt(run) for run in runs], waiting)))
    return tuple(found)


def _row(sides: Sequence[int], waiting: Iterator[tuple[int, Sequence[int]]]) -> Iterator[Grid]:
    """The grids of one row of ids, from the sides of its runs."""
    at = 0
    while at < len(sides):
        count, (rows, columns) = next(waiting, (0, (0, 0)))
        for i in range(count):
            box = _NOWHERE
            if rows * columns == count:
                y, x = divmod(i, columns)
                box = (x / columns, y / rows, (x + 1) / columns, (y + 1) / rows)
            yield Grid(1, sides[at + i], sides[at + i], box)
        yield Grid(1, sides[at + count], sides[at + count])
        at += count + 1


STEP3P7 = Family(
    name="step3p7",
    model_types=("step3p7",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    shown=_shown,
    grid_tensors=(_TILES,),
    media=("image", "images"),
    synthetic=_synthetic,
)
