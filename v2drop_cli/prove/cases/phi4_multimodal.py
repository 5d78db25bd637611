"""Phi-4 multimodal at tiny size: crops, newlines and a separator; one module merges and decodes."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Phi4MultimodalConfig, Phi4MultimodalForCausalLM

from v2drop_cli.prove.cases.case import TEXT, Case, Piece, noise, piece

IMAGE, HEARD = 3, 7
PATCH = 2
PATCHES = 4  # along a crop's side; of four one token is made
AUDIO: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_blocks": 1,
    "num_attention_heads": 2,
    "ext_pw_out_channel": 16,
    "depthwise_separable_out_channel": 16,
    "nemo_conv_channels": 4,
    "input_size": 16,
    "audio_token_id": HEARD,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny one; for a real processor, which counts 16 x 16 tokens, the tower is larger."""
    side = PATCH * (PATCHES if text["vocab_size"] == TEXT["vocab_size"] else 32)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": side,
        "crop_size": side,
        "patch_size": PATCH,
        "initializer_range": 0.3,
    }
    return Phi4MultimodalConfig(vision_config=vision | ids, audio_config=AUDIO, **text)


def image(seed: int) -> Piece:
    """Two crops side by side with padding on the right or below, a separator, the whole.

    Without any padding transformers (5.23) would run the tower causally under sdpa.
    """
    height, width = [(2, 3), (1, 4)][seed % 2]
    mask = torch.ones(1, 3, PATCHES, PATCHES)
    if seed % 2:
        mask[:, 1:, PATCHES - 2 :] = 0
    else:
        mask[:, 2, :, PATCHES - 2 :] = 0
    side = PATCH * PATCHES
    tensors = {
        "image_pixel_values": noise(1, 3, 3, side, side, seed=seed),
        "image_sizes": torch.tensor([[side, 2 * side]]),
        "image_attention_mask": mask,
    }
    return piece([IMAGE] * (height * (width + 1) + 1 + 2 * 3), IMAGE, tensors)


def _layers(model: Any) -> Any:
    return model.model.layers


CASE = Case(
    name="phi4_multimodal",
    model=Phi4MultimodalForCausalLM,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    layers=_layers,
)
