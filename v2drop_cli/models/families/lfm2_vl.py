"""LFM2-VL: a SigLIP 2 tower at any size, short convolutions among the layers (arXiv 2511.23404).

A picture is one span of 64 to 256 tokens. A large one is cut into tiles of 512 x 512 pixels, 16 by
16 tokens each, and seen once more as a whole, after them. All tokens carry the id of ``<image>``
and all are droppable; the markers around a picture and before each tile are text and stay.

A convolution layer sees its last three tokens. After a drop these are survivors: see
``docs/dropping.md``. Its padding is made zero, which a bias would undo: there is none in the
published models, and one is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.decoders import refuse_folding
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.projections import Projections
from v2drop_cli.models.shapes import check_patches
from v2drop_cli.models.shown import whole
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_TILES = "tiles"  # [n, 2]: rows and columns of each picture; 1, 1 for one that is not cut
_MARKER = re.compile(r"<\|img_row_(\d+)_col_(\d+)\|>")
# preprocessor_config.json of LiquidAI/LFM2-VL-*, and the class's own.
# Fewest and most tokens of a whole picture; patches along a tile's side; most tiles.
_TOKENS, _TILE, _MOST_TILES, _TOLERANCE = (64, 256), 32, 10, 2.0


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_patches(processor, media, _whole_patches)
    tensors = dict(process_images(processor, config, media, prompt))
    names = processor.tokenizer.convert_ids_to_tokens(tensors["input_ids"][0].tolist())
    return tensors | {_TILES: torch.tensor(list(_cuts(names))).reshape(-1, 2)}


def _whole_patches(images: Any, width: int, height: int) -> int:
    """Patches of a whole picture; a thin one is rounded to more than its processor allows."""
    sizes = ("downsample_factor", "min_image_tokens", "max_image_tokens", "encoder_patch_size")
    sides = images.smart_resize(height, width, **{name: getattr(images, name) for name in sizes})
    return math.prod(side // images.encoder_patch_size for side in sides)


def _cuts(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Rows and columns of each picture, from the markers between its start and its end."""
    rows = columns = 1
    for name in names:
        if name == "<|image_start|>":
            rows = columns = 1
        elif found := _MARKER.fullmatch(name):
            rows, columns = max(rows, int(found[1])), max(columns, int(found[2]))
        elif name == "<|image_end|>":
            yield rows, columns


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per tile and per whole picture, in prompt order."""
    factor = config.downsample_factor
    shapes = iter(tensors["spatial_shapes"].tolist() if "spatial_shapes" in tensors else [])
    cuts = iter(tensors[_TILES].tolist()) if _TILES in tensors else None
    found = []
    for ids in tensors["input_ids"].tolist():
        runs = sum(is_token for is_token, _ in groupby(ids, lambda i: i == config.image_token_id))
        boxes = _boxes(runs, cuts)
        sides = [next(shapes) for _ in range(runs)]
        found.append(
            tuple(
                Grid(1, height // factor, width // factor, box)
                for (height, width), box in zip(sides, boxes, strict=True)
            )
        )
    return tuple(found)


_Box = tuple[float, float, float, float]
_WHOLE, _UNKNOWN = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0)


def _boxes(runs: int, cuts: Iterator[Sequence[int]] | None) -> list[_Box]:
    """What each run of placeholders of one row covers of its picture."""
    boxes: list[_Box] = []
    while len(boxes) < runs:
        if cuts is None:
            boxes.append(_UNKNOWN)
            continue
        rows, columns = next(cuts, (1, 1))
        if rows * columns > 1:
            boxes += [
                (c / columns, r / rows, (c + 1) / columns, (r + 1) / rows)
                for r in range(rows)
                for c in range(columns)
            ]
        boxes.append(_WHOLE)
    return boxes


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """A marker is some id that is no placeholder: only their number is timed."""
    factor, patch = config.downsample_factor, config.vision_config.patch_size
    token, marker = config.image_token_id, config.image_token_id + 1
    ids: list[list[int]] = []
    sides: list[tuple[int, int]] = []
    for item in media:
        rows, columns, whole = _cut(item, patch, factor)
        spans = [(_TILE, _TILE)] * (rows * columns if rows * columns > 1 else 0)
        spans.append((whole[0] // patch, whole[1] // patch))
        marked = len(spans) > 1
        ids.append([marker])
        for height, width in spans:
            ids[-1] += [marker] * marked + [token] * (height // factor * (width // factor))
        ids[-1].append(marker)
        sides += spans
    if not sides:
        return Synthetic(ids, {})
    most = max(_TOKENS[1] * factor**2, _TILE**2)
    held = torch.tensor([height * width for height, width in sides])
    if int(held.max()) > most:
        raise MediaArgumentError(
            f"{config.model_type} takes no such picture: "
            f"{int(held.max())} patches of at most {most}",
            hint="make up one that is less long and thin",
        )
    tensors = {
        "pixel_values": noise(len(sides), most, 3 * patch**2),
        "spatial_shapes": torch.tensor(sides),
        "pixel_attention_mask": (torch.arange(most) < held[:, None]).to(torch.int32),
    }
    return Synthetic(ids, tensors)


def _cut(item: SyntheticMedia, patch: int, factor: int) -> tuple[int, int, tuple[int, int]]:
    """Rows and columns of tiles, and the size of the whole picture, by the processor's rule."""
    height, width, tile = item.height, item.width, _TILE * patch
    factor *= patch
    least, most = (tokens * factor**2 for tokens in _TOKENS)
    fit = [max(factor, round(side / factor) * factor) for side in (height, width)]
    large = fit[0] * fit[1] > most * _TOLERANCE
    if fit[0] * fit[1] > most:
        scale = math.sqrt(height * width / most)
        fit = [max(factor, math.floor(s / scale / factor) * factor) for s in (height, width)]
    elif fit[0] * fit[1] < least:
        scale = math.sqrt(least / (height * width))
        fit = [math.ceil(side * scale / factor) * factor for side in (height, width)]
    rows, columns = _layout(height, width, tile) if large else (1, 1)
    return rows, columns, (fit[0], fit[1])


def _layout(height: int, width: int, tile: int) -> tuple[int, int]:
    """Rows and columns whose ratio is nearest; of equals the larger, if the picture fills half."""
    every = range(1, _MOST_TILES + 1)
    pairs = {(c, r) for c in every for r in every if 2 <= c * r <= _MOST_TILES}
    best, off = (1, 1), math.inf
    for columns, rows in sorted(pairs, key=lambda pair: pair[0] * pair[1]):
        now = abs(width / height - columns / rows)
        half = 0.5 * tile**2 * columns * rows
        if now < off or (now == off and width * height > half):
            best, off = (rows, columns), now
    return best


def refuse_biased_convolutions(config: Any) -> str | None:
    """As :func:`refuse_folding`, of convolutions that leave padding out only without a bias."""
    if getattr(config.get_text_config(), "conv_bias", False):
        return "its convolutions have biases, so padding leaves a trace in their states"
    return refuse_folding(config)


def _headed(attention: Any, states: Tensor, part: str) -> Tensor:
    made = getattr(attention, f"{part}_proj")(states).unflatten(-1, (-1, attention.head_dim))
    headed: Tensor = getattr(attention, f"{part}_layernorm")(made).transpose(0, 1)
    return headed


# Its norms have names of their own.
LFM2 = Projections(
    norm=lambda layer: layer.operator_norm,
    queries=lambda attention, states: _headed(attention, states, "q"),
    keys=lambda attention, states: _headed(attention, states, "k"),
    refusal=lambda config: None,
)

LFM2_VL = Family(
    name="lfm2_vl",
    model_types=("lfm2_vl",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    shown=whole,
    grid_tensors=(_TILES,),
    vision_tower=vision_tower,
    projector=projector,
    projections=LFM2,
    refusal=refuse_biased_convolutions,
    media=("image", "images"),
    synthetic=_synthetic,
)
