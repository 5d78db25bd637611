"""Janus and Janus-Pro: one square picture, 24 x 24 tokens, a Llama decoder (arXiv 2410.13848).

Every ``<image_placeholder>`` is one patch and all of them are droppable; the tokens that begin and
end an image have ids of their own and stay. The model also draws: the tokens of a picture that it
makes are no placeholders, and nothing of them is dropped. It takes no video.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from v2drop_cli.models.base import IMAGE, Family, Module, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.spans import square_grids, square_side
from v2drop_cli.models.synthetic.tiles import noise


def _part(model: Module, name: str) -> Module:
    part: Module = getattr(inner_model(model), name)
    return part


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Square pictures; their delimiters are counted, and their ids mean nothing."""
    size, token = config.vision_config.image_size, config.image_token_id
    ids = [[token - 1, *[token] * square_side(config) ** 2, token - 2] for _ in media]
    return Synthetic(ids, {"pixel_values": noise(len(media), 3, size, size)} if media else {})


JANUS = Family(
    name="janus",
    model_types=("janus",),
    placeholders=(IMAGE,),
    grids=square_grids,
    process=process_images,
    vision_tower=lambda model: _part(model, "vision_model"),
    projector=lambda model: _part(model, "aligner"),
    media=("image", "images"),
    synthetic=_synthetic,
)
