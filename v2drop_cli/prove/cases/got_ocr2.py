"""GOT-OCR 2.0 at tiny size: SAM's tower, convolutions that merge 4 x 4 patches, a Qwen2 decoder."""

from __future__ import annotations

from typing import Any

from transformers import GotOcr2Config, GotOcr2ForConditionalGeneration, Qwen2Config

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, START, END = 5, 3, 4
SIDE = 32  # 16 x 16 patches of 2 pixels, merged to 4 x 4 tokens
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "output_channels": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 2,
    "window_size": 3,
    "global_attn_indexes": [1],
    "mlp_dim": 24,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return GotOcr2Config(vision_config=VISION, text_config=Qwen2Config(**text), **ids)


def image(seed: int) -> Piece:
    """Pages of 4 x 4 tokens."""
    pixels = {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)}
    return piece([START, *[IMAGE] * 16, END], IMAGE, pixels)


CASE = Case(
    name="got_ocr2",
    model=GotOcr2ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
