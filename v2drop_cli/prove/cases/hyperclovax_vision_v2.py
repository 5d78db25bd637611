"""HyperCLOVA X SEED's vision model at tiny size: Qwen2.5-VL's tower before a decoder of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import (
    HyperCLOVAXConfig,
    HyperCLOVAXVisionV2Config,
    HyperCLOVAXVisionV2ForConditionalGeneration,
)

from v2drop_cli.prove.cases.qwen2_5_vl import VISION
from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import IMAGE, VIDEO


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; the decoder's factors are other than one."""
    factors: dict[str, Any] = {
        "embedding_multiplier": 2.0,
        "residual_multiplier": 0.7,
        "logits_scaling": 0.5,
    }
    return HyperCLOVAXVisionV2Config(
        vision_config={**VISION, "model_type": "qwen2_5_vl_vision"},
        text_config=HyperCLOVAXConfig(**text, **factors),
        tie_word_embeddings=False,
        **ids,
    )


CASE = dataclasses.replace(
    QWEN2_VL,
    name="hyperclovax_vision_v2",
    model=HyperCLOVAXVisionV2ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    types=False,
)
