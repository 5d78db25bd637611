"""DeepSeek-VL: SigLIP's patches, padded to a square (arXiv 2403.05525).

Every ``<image_placeholder>`` is one patch of 384 pixels' 24 x 24 and all of them are droppable. The
hybrid model, whose pictures are read by SAM at 1024 pixels too, gives each of them half of its
features. The models take no video.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v2drop_cli.models.base import IMAGE, Family, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.spans import square_grids, square_side
from v2drop_cli.models.synthetic.tiles import noise


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    ids = [[config.image_token_id] * square_side(config) ** 2 for _ in media]
    if not media:
        return Synthetic(ids, {})
    sizes = {"pixel_values": config.vision_config.image_size}
    if hasattr(config, "high_res_vision_config"):
        sizes["high_res_pixel_values"] = config.high_res_vision_config.image_size
    return Synthetic(ids, {name: noise(len(media), 3, s, s) for name, s in sizes.items()})


def _tower(model: Module) -> Module | None:
    """SigLIP alone; a hybrid's two towers are no single module."""
    inner = inner_model(model)
    hybrid = hasattr(inner, "high_res_vision_model")
    return None if hybrid else getattr(inner, "vision_model", None)


DEEPSEEK_VL = Family(
    name="deepseek_vl",
    model_types=("deepseek_vl", "deepseek_vl_hybrid"),
    placeholders=(IMAGE,),
    grids=square_grids,
    process=process_images,
    vision_tower=_tower,
    projector=lambda model: getattr(inner_model(model), "aligner", None),
    media=("image", "images"),
    synthetic=_synthetic,
)
