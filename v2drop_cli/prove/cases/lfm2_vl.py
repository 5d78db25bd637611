"""LFM2-VL at tiny size: short convolutions among the layers, tiles between markers."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Lfm2Config, Lfm2VlConfig, Lfm2VlForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, START, END, TILE = 3, 5, 6, 7
PATCH, MOST = 4, 64
VISION: dict[str, Any] = {
    "model_type": "siglip2_vision_model",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_patches": 16,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}
# A convolution comes first, one after another, and on both sides of full attention.
KINDS = ["conv", "conv", "full_attention", "full_attention", "conv", "full_attention"]


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return Lfm2VlConfig(
        vision_config=VISION,
        text_config=Lfm2Config(
            **text,
            layer_types=KINDS,
            norm_eps=1e-2,  # of small numbers, which a smaller one would enlarge with their errors
            block_auto_adjust_ff_dim=False,
            tie_word_embeddings=False,
        ),
        projector_hidden_size=24,
        tie_word_embeddings=False,
        **ids,
    )


def image(seed: int) -> Piece:
    """A picture of 3 x 4 tokens, or two tiles of 2 x 2 and the whole one of 2 x 4."""
    shapes = [[(6, 8)], [(4, 4), (4, 4), (4, 8)]][seed % 2]
    ids = [START]
    for height, width in shapes:
        ids += [TILE] * (len(shapes) > 1) + [IMAGE] * (height * width // 4)
    held = torch.tensor([[height * width] for height, width in shapes])
    tensors = {
        "pixel_values": noise(len(shapes), MOST, 3 * PATCH**2, seed=seed),
        "spatial_shapes": torch.tensor(shapes),
        "pixel_attention_mask": (torch.arange(MOST) < held).to(torch.int32),
    }
    return piece([*ids, END], IMAGE, tensors)


CASE = Case(
    name="lfm2_vl",
    model=Lfm2VlForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
