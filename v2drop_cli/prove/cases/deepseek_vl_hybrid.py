"""DeepSeek-VL with its second tower at tiny size: SAM reads the picture larger."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import DeepseekVLHybridConfig, DeepseekVLHybridForConditionalGeneration
from transformers.models.sam import SamVisionConfig

from v2drop_cli.prove.cases.case import Piece, noise
from v2drop_cli.prove.cases.deepseek_vl import CASE as DEEPSEEK_VL
from v2drop_cli.prove.cases.deepseek_vl import image as small
from v2drop_cli.prove.cases.deepseek_vl import parts

LARGE = 32


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration; the last of SAM's two layers looks at the whole picture."""
    sam = SamVisionConfig(
        hidden_size=16,
        output_channels=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=LARGE,
        patch_size=4,
        window_size=4,
        global_attn_indexes=[1],
        mlp_dim=24,
        initializer_range=0.3,
    )
    return DeepseekVLHybridConfig(
        **parts(text), high_res_vision_config=sam, tie_word_embeddings=False, **ids
    )


def image(seed: int) -> Piece:
    """The same 4 x 4 tokens, of a picture in two sizes."""
    low = small(seed)
    high = {"high_res_pixel_values": noise(1, 3, LARGE, LARGE, seed=seed)}
    return dataclasses.replace(low, tensors={**low.tensors, **high})


CASE = dataclasses.replace(
    DEEPSEEK_VL,
    name="deepseek_vl_hybrid",
    variant_of="deepseek_vl",
    model=DeepseekVLHybridForConditionalGeneration,
    config=config,
    image=image,
)
