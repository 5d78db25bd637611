"""LightOnOCR: Pixtral's tower, patches merged as in Mistral 3, a Qwen3 decoder.

Every image token is one vision token, 28 x 28 pixels of a picture of any size, and all of them are
droppable. Unlike Mistral 3's, its rows are not kept apart: a picture is one run of placeholders.
The model takes no video.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import IMAGE, Family, Grids, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.shapes import check_thin
from v2drop_cli.models.shown import whole
from v2drop_cli.models.spans import sized_grids
from v2drop_cli.models.synthetic.tiles import fitted, padded

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def _token(config: Any) -> int:
    """Pixels that a token covers, each way."""
    return int(config.vision_config.patch_size * config.spatial_merge_size)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid a picture, as many tokens as whole merged patches fit."""
    return sized_grids(config, tensors, _token(config))


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: a picture so thin that no merged patch fits into it: the processor
            would show nothing of it.
    """
    check_thin(processor, config, media)
    tensors = process_images(processor, config, media, prompt)
    sizes = tensors["image_sizes"].tolist() if "image_sizes" in tensors else []
    for item, size in zip(media, sizes, strict=False):  # a prompt without pictures has no sizes
        if min(size) < _token(config):
            width, height = item.frames[0].size
            raise MediaArgumentError(
                f"{item.path.name} is {width} x {height} pixels: no token of {config.model_type} "
                "models fits into it",
                hint=f"widen its short side, to more than {_token(config)} pixels as the model "
                "sees it",
            )
    return tensors


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    side = _token(config)
    sizes = [fitted(config, item, config.vision_config.patch_size) for item in media]
    ids = [[config.image_token_id] * (high // side * (wide // side)) for high, wide in sizes]
    return Synthetic(ids, padded(sizes))


def _part(model: Module, name: str) -> Module:
    part: Module = getattr(inner_model(model), name)
    return part


LIGHTON_OCR = Family(
    name="lighton_ocr",
    model_types=("lighton_ocr",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    shown=whole,
    vision_tower=lambda model: _part(model, "vision_encoder"),
    projector=lambda model: _part(model, "vision_projection"),
    media=("image", "images"),
    synthetic=_synthetic,
)
