"""DeepSeek-VL at tiny size: a SigLIP tower and a Llama decoder."""

from __future__ import annotations

from typing import Any

from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    LlamaConfig,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece
from v2drop_cli.prove.cases.llava import SIDE

IMAGE = 3


def parts(text: dict[str, Any]) -> dict[str, Any]:
    """The configurations of its parts."""
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=4,
        vision_use_head=False,
    )
    return {"vision_config": vision, "text_config": LlamaConfig(**text)}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return DeepseekVLConfig(**parts(text), tie_word_embeddings=False, **ids)


def image(seed: int) -> Piece:
    """Pictures of 4 x 4 tokens."""
    return piece([IMAGE] * 16, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


CASE = Case(
    name="deepseek_vl",
    model=DeepseekVLForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
