"""PerceptionLM: a thumbnail and tiles of 448 pixels, pooled, images and video (arXiv 2504.13180).

An image is a thumbnail and up to 36 tiles after it, row by row; a frame of a video is one square.
Every ``<|image|>`` and ``<|video|>`` is one vision token, 28 x 28 pixels, and all of them are
droppable: thumbnail and tiles compete for the same places. How a picture was cut is in no tensor;
the processor's rule is asked again. Its tower is timm's, whose configuration names its patches in
the architecture's name alone.

transformers stacks the images of a prompt, so all of them must have the same number of tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isqrt, prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.spans import timm_patch, walk
from v2drop_cli.models.synthetic.canvas import cut
from v2drop_cli.models.synthetic.tiles import noise, square_clips
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_TILES = "tiles"  # [n, 2]: rows and columns of each image, its thumbnail not counted
_MOST_TILES = 36  # the default of transformers' processor
_NOWHERE = (1.0, 1.0, 1.0, 1.0)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn, and how its images were cut.

    Raises:
        MediaArgumentError: images of different numbers of tiles, which transformers cannot stack.
    """
    pictures = [item for item in media if item.kind == "image"]
    tiles = [_cut(processor.image_processor, *item.frames[0].size) for item in pictures]
    if len(set(map(prod, tiles))) > 1:
        counts = ", ".join(str(prod(shape)) for shape in tiles)
        raise MediaArgumentError(
            f"the images of one {config.model_type} prompt need the same number of tiles; "
            f"these have {counts}",
            hint="give them the same size, or ask about one at a time",
        )
    tensors = dict(chat.process(processor, config, media, prompt))
    return tensors | {_TILES: torch.tensor(tiles).reshape(-1, 2)}


def _cut(rule: Any, width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the tiles of a picture, by the processor's own rule; (0, 0) of none."""
    if rule.vision_input_type != "thumb+tile":
        return 0, 0
    columns, rows = cut(width, height, rule.tile_size, rule.max_num_tiles)
    return rows, columns


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    cuts = iter(tensors.get(_TILES, torch.empty(0, 2)).tolist())
    waiting = {
        config.image_token_id: (
            tuple(_picture(len(image), side, next(cuts, None)))
            for image, side in _squares(config.image_token_id, tensors, IMAGE.pixels)
        ),
        config.video_token_id: (
            (Grid(len(video), side, side),)
            for video, side in _squares(config.video_token_id, tensors, VIDEO.pixels)
        ),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _squares(token: int, tensors: Mapping[str, Tensor], name: str) -> Iterator[tuple[Tensor, int]]:
    """Each image or video, and how many tokens lie along a side of any square."""
    pixels = tensors.get(name)
    if pixels is None:
        return
    squares = pixels.shape[0] * pixels.shape[1]
    side = isqrt(int((tensors["input_ids"] == token).sum()) // squares)
    yield from ((one, side) for one in pixels)


def _picture(squares: int, side: int, shape: Sequence[int] | None) -> Iterator[Grid]:
    """The thumbnail, then tiles in raster order; those without a place if the cut is not known."""
    yield Grid(1, side, side)
    if shape is None or prod(shape) != squares - 1:
        yield from [Grid(1, side, side, _NOWHERE)] * (squares - 1)
        return
    rows, columns = shape
    for row, column in (divmod(i, columns) for i in range(rows * columns)):
        box = (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
        yield Grid(1, side, side, box)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Squares of the tower's size, cut as the processor cuts them by default."""
    size, patch = _sizes(config)
    side = size // patch // config.projector_pooling_ratio
    images = [item for item in media if item.frames is None]
    squares = [1 + prod(cut(item.width, item.height, size, _MOST_TILES)) for item in images]
    if len(set(squares)) > 1:
        raise MediaArgumentError(
            "made-up images of one prompt need the same number of tiles",
            hint="give one --image-size, or several of one shape",
        )
    tensors = {"pixel_values": noise(len(images), *squares[:1], 3, size, size)} if images else {}
    tensors |= square_clips(size, [item for item in media if item.frames is not None])
    ids = []
    for item in media:
        token = config.image_token_id if item.frames is None else config.video_token_id
        ids.append([token] * ((item.frames or squares[0]) * side**2))
    return Synthetic(ids, tensors)


def _sizes(config: Any) -> tuple[int, int]:
    """Pixels of a square and of a patch, each way, as far as a timm configuration tells.

    Raises:
        UnsupportedModelError: it does not.
    """
    vision = config.vision_config
    size = (getattr(vision, "model_args", None) or {}).get("img_size")
    patch = timm_patch(vision)
    if not size or patch is None:
        raise UnsupportedModelError(
            f"the configuration of this {config.model_type} model does not say how large its "
            "tower's pictures and patches are",
            hint="give --image FILE or --video FILE, and the model's processor",
        )
    return int(size[0]), patch


PERCEPTION_LM = Family(
    name="perception_lm",
    model_types=("perception_lm",),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=_process,
    grid_tensors=(_TILES,),
    vision_tower=vision_tower,
    projector=projector,
    synthetic=_synthetic,
)
