"""EXAONE 4.5 at tiny size: Qwen2.5-VL's tower, one axis of positions, windows."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Exaone4_5_Config, Exaone4_5_ForConditionalGeneration, Exaone4Config

from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import IMAGE, PATCH, VIDEO

WINDOW = 8


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The third layer and the last have no window, and no rotary tables."""
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "out_hidden_size": 32,
        "intermediate_size": 24,
        "num_heads": 2,
        "num_key_value_heads": 1,
        "patch_size": PATCH,
        "window_size": 16,
        "fullatt_block_indexes": [1],
        "initializer_range": 0.3,
    }
    decoder = Exaone4Config(**text, sliding_window=WINDOW, sliding_window_pattern=3)
    return Exaone4_5_Config(vision_config=vision, text_config=decoder, **ids)


CASE = dataclasses.replace(
    QWEN2_VL,
    name="exaone4_5",
    model=Exaone4_5_ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    types=False,
)
