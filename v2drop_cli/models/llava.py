"""LLaVA-1.5 and its relatives: CLIP tower, MLP projector, causal decoder (arXiv 2310.03744).

Every ``<image>`` placeholder is one vision token; LLaVA-1.5 has 576 an image and no special
row or tile tokens, so all of them are droppable. The embedded model is of this family too.

Video: LLaVA-1.5 has no video input. Frames go in as images, one after the other; a
checkpoint whose config says ``frame_grid: [rows, columns]`` wants that many frames tiled
into each image instead (the "image grid" way of showing a clip to an image model).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import Family, Grid, Inputs, Module, VisionTokens
from v2drop_cli.schedule import PRESETS

if TYPE_CHECKING:
    from PIL.Image import Image

    from v2drop_cli.media import Media


# LLaVA-1.5's turns, for checkpoints saved without a template.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() }}: "
    "{% for item in message['content'] %}"
    "{{ '<image>\\n' if item['type'] == 'image' else item['text'] }}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def _multimodal(model: Module) -> Module:
    # LlavaForConditionalGeneration holds a LlavaModel; a bare LlavaModel is its own.
    inner: Module = getattr(model, "model", model)
    return inner


def _decoder(model: Module) -> Module:
    decoder: Module = _multimodal(model).language_model  # type: ignore[assignment]
    return decoder


def _vision_tower(model: Module) -> Module | None:
    return getattr(_multimodal(model), "vision_tower", None)


def _projector(model: Module) -> Module | None:
    return getattr(_multimodal(model), "multi_modal_projector", None)


def _tokens_per_side(config: Any) -> int:
    vision = config.vision_config
    return int(vision.image_size // vision.patch_size)


def _vision_tokens(config: Any, input_ids: Tensor) -> VisionTokens:
    """Every image placeholder of ``input_ids [B, L]``; one square grid an image."""
    is_vision = input_ids == config.image_token_id
    counts = is_vision.sum(dim=1).tolist()
    index = is_vision.nonzero()[:, 1].split(counts)
    side = _tokens_per_side(config)
    grids = tuple((Grid(1, side, side),) * (count // side**2) for count in counts)
    return VisionTokens(tuple(index), grids)


def _refusal(config: Any) -> str | None:
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or []
    if getattr(text, "sliding_window", None) or any(kind != "full_attention" for kind in kinds):
        return "its decoder uses sliding-window attention, whose windows count dropped tokens"
    return None


def _prepare(processor: Any, config: Any, media: Sequence[Media], prompt: str) -> Inputs:
    """The chat prompt with one ``<image>`` per picture, then the question."""
    pictures = [picture for item in media for picture in _pictures(item, config)]
    content: list[dict[str, str]] = [{"type": "image"} for _ in pictures]
    content.append({"type": "text", "text": prompt})
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        chat_template=processor.chat_template or CHAT_TEMPLATE,
    )
    images = {"images": pictures} if pictures else {}
    tensors = dict(processor(text=text, return_tensors="pt", **images))
    return Inputs(tensors, _vision_tokens(config, tensors["input_ids"]))


def _pictures(media: Media, config: Any) -> list[Image]:
    if media.kind == "image":
        return list(media.frames)
    rows, columns = getattr(config, "frame_grid", (1, 1))
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


LLAVA = Family(
    name="llava",
    model_types=("llava",),
    multimodal=_multimodal,
    decoder=_decoder,
    vision_tokens=_vision_tokens,
    vision_inputs=("pixel_values", "mm_encoder_outputs"),
    prepare=_prepare,
    refusal=_refusal,
    vision_tower=_vision_tower,
    projector=_projector,
    presets=PRESETS,
    preset_source="arXiv 2509.01552 for LLaVA-1.5-7B; other depths scaled",
)
