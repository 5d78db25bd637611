"""LLaVA-1.5 and its relatives: CLIP tower, MLP projector, causal decoder (arXiv 2310.03744).

Every ``<image>`` placeholder is one vision token; LLaVA-1.5 has 576 an image and no special
row or tile tokens, so all of them are droppable. The embedded model is of this family too.
Pixtral-12B is a LLaVA with a tower for pictures of any size; its ``[IMG]`` are droppable, the
``[IMG_BREAK]`` and ``[IMG_END]`` between them stay.

Video: LLaVA-1.5 has no video input. Frames go in as images, one after the other; a
checkpoint whose config says ``frame_grid: [rows, columns]`` wants that many frames tiled
into each image instead (the "image grid" way of showing a clip to an image model).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import (
    IMAGE,
    Family,
    Grids,
    Module,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.chat import ask
from v2drop_cli.models.decoders import refuse_decoder
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.picture_limits import check_pictures
from v2drop_cli.models.projections import SQUARE
from v2drop_cli.models.shapes import check_thin
from v2drop_cli.models.shown import Box, as_processed, frame_grid, whole
from v2drop_cli.models.spans import sized_grids, square_grids, square_side
from v2drop_cli.models.synthetic.tiles import noise, sized_pictures
from v2drop_cli.models.templates import Turn
from v2drop_cli.records import Grid, MediaRecord

if TYPE_CHECKING:
    from PIL.Image import Image

    from v2drop_cli.media import Media


# LLaVA-1.5's turns, for checkpoints saved without a template.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() }}: "
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<' + item['type'] + '>\\n' }}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


SQUARE_TOWERS = ("clip_vision_model", "siglip_vision_model")
_PIXTRAL = "pixtral"


def vision_tower(model: Module) -> Module | None:
    """The tower under the name that LLaVA and its relatives give it."""
    return getattr(inner_model(model), "vision_tower", None)


def projector(model: Module) -> Module | None:
    """The projector likewise."""
    return getattr(inner_model(model), "multi_modal_projector", None)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid an image; square, unless the tower takes pictures of any size."""
    if config.vision_config.model_type == _PIXTRAL:
        return sized_grids(config, tensors, config.vision_config.patch_size)
    return square_grids(config, tensors)


def process(
    processor: Any,
    config: Any,
    media: Sequence[Media],
    prompt: str,
    fallback: str = CHAT_TEMPLATE,
) -> Mapping[str, Tensor]:
    """The chat prompt with one ``<image>`` per picture, then the question."""
    if config.vision_config.model_type == _PIXTRAL:
        check_thin(processor, config, media)
    for item in media:
        if item.kind == "image":  # mosaics of frames are square
            images = getattr(processor, "image_processor", None)
            check_pictures(images, item.frames, item.path.name)
    pictures = [picture for item in media for picture in _pictures(item, config)]
    turn = Turn(["image"] * len(pictures), prompt, fallback)
    return ask(processor, turn, {"images": [pictures]} if pictures else {})


def _pictures(media: Media, config: Any) -> list[Image]:
    if media.kind == "image":
        return list(media.frames)
    rows, columns = frame_grid(config)
    if rows * columns == 1:
        return list(media.frames)
    return tile_frames(media.frames, rows, columns, config.vision_config.image_size)


def tile_frames(frames: Sequence[Image], rows: int, columns: int, size: int) -> list[Image]:
    """Frames as ``rows × columns`` mosaics of ``size`` pixels, in raster order.

    Each frame is cropped to its central square, as the image processor would do. The last
    mosaic is filled up by repeating the last frame: a still end, not a black flash.
    """
    from PIL import Image, ImageOps

    per_image = rows * columns
    cell = (size // columns, size // rows)
    missing = -len(frames) % per_image
    mosaics = []
    padded = [*frames, *[frames[-1]] * missing]
    for start in range(0, len(padded), per_image):
        mosaic = Image.new("RGB", (size, size))
        for i, frame in enumerate(padded[start : start + per_image]):
            tile = ImageOps.fit(frame, cell, Image.Resampling.BICUBIC)
            mosaic.paste(tile, ((i % columns) * cell[0], (i // columns) * cell[1]))
        mosaics.append(mosaic)
    return mosaics


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Square crops; of a video, as many as its frames or their mosaics."""
    if config.vision_config.model_type == _PIXTRAL:
        return sized_pictures(config, media, config.vision_config.patch_size)
    rows, columns = frame_grid(config)
    pictures = [math.ceil(item.frames / (rows * columns)) if item.frames else 1 for item in media]
    size, tokens = config.vision_config.image_size, square_side(config) ** 2
    ids = [[config.image_token_id] * (n * tokens) for n in pictures]
    return Synthetic(ids, {"pixel_values": noise(sum(pictures), 3, size, size)} if media else {})


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """A Pixtral tower sees all; what its processor pads is the batch."""
    pixtral = config.vision_config.model_type == _PIXTRAL
    return (whole if pixtral else as_processed)(processor, config, record, grids)


def _refusal(config: Any) -> str | None:
    tower = config.vision_config.model_type
    served = (*SQUARE_TOWERS, _PIXTRAL)
    if tower not in served:
        return f"its vision tower is {tower!r}; served are {', '.join(served)}"
    return refuse_decoder(config)


LLAVA = Family(
    name="llava",
    model_types=("llava",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=process,
    shown=_shown,
    refusal=_refusal,
    vision_tower=vision_tower,
    projector=projector,
    tower=SQUARE,
    preset_source="arXiv 2509.01552 for LLaVA-1.5-7B; other depths scaled",
    synthetic=_synthetic,
)
