"""Video-LLaVA: a tower for images, one for video frames, one projector (arXiv 2311.10122).

An image is 16 x 16 tokens of 14 pixels. A video frame is as many and, before them, its class
token, which the model keeps in videos only. All carry a placeholder's id and all are droppable;
the class token competes like any other.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models import chat
from v2drop_cli.models.base import (
    IMAGE,
    VIDEO,
    Family,
    Grids,
    Placeholder,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.families.llava import CHAT_TEMPLATE, projector
from v2drop_cli.models.shapes import check_rows
from v2drop_cli.models.spans import NEWLINE as CLASS  # no pixels of its own either
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.tiles import clips, noise, placeholders
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# What transformers calls images before 5.23; from then on the model takes both names.
_OLD_IMAGE = Placeholder(IMAGE.token_id, "pixel_values_images")


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = _waiting(config, tensors)
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _waiting(config: Any, tensors: Mapping[str, Tensor]) -> dict[int, Iterator[tuple[Grid, ...]]]:
    side = config.vision_config.image_size // config.vision_config.patch_size
    frame = (CLASS, Grid(1, side, side))
    image = frame[1:] if config.vision_feature_select_strategy == "default" else frame
    images = _pixels(tensors, _OLD_IMAGE, IMAGE)
    videos = _pixels(tensors, VIDEO)
    return {
        config.image_token_id: repeat(image, len(images)),
        config.video_token_id: (frame * len(video) for video in videos),
    }


def _pixels(tensors: Mapping[str, Tensor], *names: Placeholder) -> Sequence[Tensor]:
    """What was given under any of ``names``; the model's call names some of them with ``None``."""
    for name in names:
        pixels = tensors.get(name.pixels)
        if pixels is not None:
            return tuple(pixels)
    return ()


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_rows(media)
    return chat.process(processor, config, media, prompt, CHAT_TEMPLATE)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    from transformers import VideoLlavaForConditionalGeneration as Model

    n, size = sum(item.frames is None for item in media), config.vision_config.image_size
    old = _OLD_IMAGE.pixels in inspect.signature(Model.forward).parameters
    name = _OLD_IMAGE.pixels if old else IMAGE.pixels
    tensors = {name: noise(n, 3, size, size)} if n else {}
    tensors |= clips(config, [item for item in media if item.frames is not None])
    return Synthetic(placeholders(config, media, _waiting(config, tensors)), tensors)


VIDEO_LLAVA = Family(
    name="video_llava",
    model_types=("video_llava",),
    placeholders=(IMAGE, _OLD_IMAGE, VIDEO),
    grids=_grids,
    process=_process,
    projector=projector,
    synthetic=_synthetic,
)
