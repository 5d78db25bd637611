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

from torch import Tensor
from torch.nn import Module

from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.models.base import Family, Grids, Placeholder
from v2drop_cli.models.chat import process_images, refuse_video
from v2drop_cli.models.spans import NEWLINE, walk, with_newlines
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_IMAGE = Placeholder("vision_config.image_token_id", "image_pixel_values")


_LEAST = 10  # pixels of a short side that the processor takes, once it is fitted


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
    """The short side in pixels of a picture that is fitted into crops, by the processor's rule."""
    side, most = images.size["height"], images.dynamic_hd
    columns, rows = math.ceil(width / side), math.ceil(height / side)
    if columns * rows > most:
        counts = range(1, most + 1)
        cuts = sorted(((i, j) for i in counts for j in counts if i * j <= most), key=math.prod)
        ratio = width / height
        columns, rows = images.find_closest_aspect_ratio(ratio, cuts, width, height, side)
    scale = min(columns * side / width, rows * side / height)
    return min(int(width * scale), int(height * scale))


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
    multimodal=_decoder,
    decoder=_decoder,
    media=("image", "images"),
)
