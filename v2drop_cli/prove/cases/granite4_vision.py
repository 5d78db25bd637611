"""Granite 4 Vision at tiny size: tiles, newline tokens, features added before most layers."""

from __future__ import annotations

from typing import Any

from transformers import (
    Granite4VisionConfig,
    Granite4VisionForConditionalGeneration,
    Granite4VisionTextConfig,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece
from v2drop_cli.prove.cases.llava_onevision import SIDE, TILES, pad_tiles, tiled

IMAGE = 3
# The projector has a head for every 64 features.
VISION: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "vision_use_head": False,
}
QFORMER: dict[str, Any] = {
    "model_type": "blip_2_qformer",
    "num_hidden_layers": 1,
    "intermediate_size": 24,
    "cross_attention_frequency": 1,
    "use_qformer_text_input": False,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration: features for layers 0 to 5, at drops, between and behind them."""
    return Granite4VisionConfig(
        vision_config=SiglipVisionConfig(**VISION),
        text_config=Granite4VisionTextConfig(**text),
        qformer_config=QFORMER,
        image_grid_pinpoints=TILES,
        downsample_rate="1/2",
        deepstack_layer_map=[[-1, 0], [-2, 2]],
        spatial_target_layers=[1, 3, 4, 5],
        vision_feature_select_strategy="full",
        **ids,
    )


def image(seed: int) -> Piece:
    """Height and width, tiles with the thumbnail, tokens: 2 x 2 and r rows of c and a newline."""
    size, tiles, tokens = [
        ((16, 32), 3, 4 + 2 * (4 + 1)),
        ((20, 32), 5, 4 + 2 * (4 + 1)),  # the tiles' padding above and below is cut
        ((16, 16), 2, 4 + 2 * (2 + 1)),
    ][seed % 3]
    return tiled(size, tiles, tokens, seed)


CASE = Case(
    name="granite4_vision",
    model=Granite4VisionForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=pad_tiles,
)
