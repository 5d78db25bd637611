"""Phi-4 multimodal: crops joined to one picture, then the picture as a whole (arXiv 2503.01743).

A picture is its crops of 448 x 448 pixels joined and cut to its shape, a learned separator, and the
whole picture in one crop; a learned newline ends each row of both. All carry the placeholder's id
and all are droppable: newlines and the separator compete like any other token. Audio tokens are no
vision tokens and stay.

One module is multimodal model and decoder: it encodes pictures and merges them, then runs its
layers. So tower and decoder are not told apart by their calls, only by the first layer's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module

from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.models.base import Family, Grids, Placeholder, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images, refuse_video
from v2drop_cli.models.shown import Box, placed
from v2drop_cli.models.spans import NEWLINE, walk, with_newlines
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid, MediaRecord

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_IMAGE = Placeholder("vision_config.image_token_id", "image_pixel_values")


_LEAST = 10  # pixels of a short side that the processor takes, once it is fitted
_MOST = 36  # crops: preprocessor_config.json of microsoft/Phi-4-multimodal-instruct


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: a picture too thin for the processor, or a video.
    """
    refuse_video(config, media)
    images = getattr(processor, "image_processor", None)
    for item in media if hasattr(images, "dynamic_hd") else ():
        width, height = item.frames[0].size
        if _fitted(images, width, height) < _LEAST:
            short, long = sorted((width, height))
            wide = width >= height
            sides = ((n, (long, n) if wide else (n, long)) for n in range(short, long + 1))
            least = next(n for n, size in sides if _fitted(images, *size) >= _LEAST)
            raise MediaArgumentError(
                f"{item.path.name} is {width} x {height} pixels, and {config.model_type} models "
                f"take none whose short side is fitted to fewer than {_LEAST}",
                hint=f"crop it, or widen its short side to {least} pixels and more",
            )
    return process_images(processor, config, media, prompt)


def _fitted(images: Any, width: int, height: int) -> int:
    """The short side in pixels of a picture that is fitted into crops."""
    return min(_crops(width, height, images.size["height"], images.dynamic_hd)[1])


def _crops(
    width: int, height: int, side: int, most: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Columns and rows of crops, and the picture's width and height in them: the processor's rule.

    Of the cuts into few enough crops it takes the one of the nearest shape, as DeepSeek-OCR 2's
    does, which has a form without torchvision.
    """
    from transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2 import (
        get_optimal_tiled_canvas,
    )

    columns, rows = math.ceil(width / side), math.ceil(height / side)
    if columns * rows > most:
        columns, rows = get_optimal_tiled_canvas((height, width), (side, side), 1, most)
    # As in the processor: the side that fills its crops is not rounded.
    across, down = columns * side / width, rows * side / height
    if across < down:
        return (columns, rows), (columns * side, int(height * across))
    return (columns, rows), (int(width * down), rows * side)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {_IMAGE.id_of(config): _pictures(config, tensors)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _pictures(config: Any, tensors: Mapping[str, Tensor]) -> Iterator[tuple[Grid, ...]]:
    """Per picture, its joined crops without their padding, the separator and the whole."""
    if "image_sizes" not in tensors:
        return
    crop = config.vision_config.crop_size
    for size, masks in zip(
        tensors["image_sizes"].tolist(), tensors["image_attention_mask"], strict=True
    ):
        rows, columns = (side // crop for side in size)
        # As in the model: every second patch each way is asked whether it is padding.
        shown = masks[1 : rows * columns + 1, 0::2, 0::2]
        side = shown.shape[-1]
        joined = shown.unflatten(0, (rows, columns)).transpose(1, 2).flatten(2, 3).flatten(0, 1)
        height, width = int(joined[:, 0].sum()), int(joined[0].sum())
        # The whole picture is seen with its padding, and one more column for the newlines.
        right, bottom = columns * side / width, rows * side / height
        whole = Grid(1, side, side + 1, (0.0, 0.0, right * (side + 1) / side, bottom))
        yield with_newlines(height, width), NEWLINE, whole


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Crops of noise, the whole before them, and which patches of them are padding.

    Raises:
        MediaArgumentError: a picture too thin for the processor.
    """
    if not media:
        return Synthetic([], {})
    crop, patch = config.vision_config.crop_size, config.vision_config.patch_size
    cuts = [_crops(item.width, item.height, crop, _MOST) for item in media]
    for item, (_, size) in zip(media, cuts, strict=True):
        if min(size) < _LEAST:
            raise MediaArgumentError(
                f"{config.model_type} takes no such picture: {item.width} x {item.height} pixels "
                f"would be fitted to {size[0]} x {size[1]}",
                hint="make up one that is less long and thin",
            )
    most = 1 + max(math.prod(cut) for cut, _ in cuts)
    seen = [_seen(cut, size, crop, patch) for cut, size in cuts]
    filled = [torch.cat([m, m.new_ones(most - len(m), *m.shape[1:])]) for m in seen]
    tensors = {
        _IMAGE.pixels: noise(len(media), most, 3, crop, crop),
        "image_sizes": torch.tensor([[rows * crop, columns * crop] for (columns, rows), _ in cuts]),
        "image_attention_mask": torch.stack(filled),
    }
    pictures = _pictures(config, tensors)
    token = _IMAGE.id_of(config)
    ids = [[token] * sum(grid.h * grid.w for grid in grids) for grids in pictures]
    return Synthetic(ids, tensors)


def _seen(cut: tuple[int, int], size: tuple[int, int], crop: int, patch: int) -> Tensor:
    """``[1 + crops, side, side]``: 1 for patches of the whole and of each crop, 0 for padding."""
    (columns, rows), side = cut, crop // patch
    mask = torch.ones(rows * side, columns * side)
    mask[:, mask.shape[1] - (columns * crop - size[0]) // patch :] = 0
    mask[mask.shape[0] - (rows * crop - size[1]) // patch :] = 0
    crops = mask.view(rows, side, columns, side).transpose(1, 2)
    return torch.cat([torch.ones(1, side, side), crops.flatten(0, 1)])


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """Scaled to fit its crops, at their left and top; boxes are shares of the tokens that stay.

    So the last token of a row or column may reach beyond the picture.
    """
    joined, _, whole = grids
    side, height, width = whole.h, joined.h, joined.w - 1
    crop = config.vision_config.crop_size
    columns, rows = round(whole.box[2] * width / (side + 1)), round(whole.box[3] * height / side)
    scale = min(columns * crop / record.width, rows * crop / record.height)
    size = int(record.width * scale), int(record.height * scale)
    box = placed((0, 0), size, (width * crop / side, height * crop / side))
    return box, None, box


def _decoder(model: Module) -> Module:
    for module in model.modules():
        if "embed_tokens_extend" in module._modules:
            return module
    raise UnsupportedModelError(f"{type(model).__name__} holds no Phi-4 multimodal model")


PHI4_MULTIMODAL = Family(
    name="phi4_multimodal",
    model_types=("phi4_multimodal",),
    placeholders=(_IMAGE,),
    grids=_grids,
    process=_process,
    shown=_shown,
    multimodal=_decoder,
    decoder=_decoder,
    media=("image", "images"),
    synthetic=_synthetic,
)
