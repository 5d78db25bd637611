"""The architecture: an ordinary, very small LLaVA, and the vision tower seen patch by patch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

SIDE, PATCH = 336, 14
GRID = SIDE // PATCH
WIDTH = 128
LAYERS = 12
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def vision_config() -> CLIPVisionConfig:
    """Shape a CLIP vision tower of four layers for 24x24 patches."""
    return CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=WIDTH,
        hidden_act="gelu",
    )


def text_config(tokenizer: PreTrainedTokenizerFast, layers: int) -> LlamaConfig:
    """Shape the language model.

    The base of the rotary embedding is large so that half of each head's dimensions hardly
    turn over 1152 vision tokens: looking a word up among them must not depend on distance.
    """
    return LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=WIDTH,
        intermediate_size=352,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=2048,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def build_llava(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Build the whole model, untrained."""
    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=text_config(tokenizer, LAYERS),
        image_token_index=tokenizer.encode("<image>", add_special_tokens=False)[0],
        image_seq_length=GRID**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)


def encode_patches(tower: CLIPVisionModel, pixels: Tensor, positions: Tensor) -> Tensor:
    """Patch features of pictures whose patches sit at ``positions`` (0-575) of the full grid.

    With all positions this is what LLaVA reads from the tower; with a 12x12 window of them it
    trains the same weights on quarter pictures, at a fifth of the cost.
    """
    parts = tower.embeddings
    patches = parts.patch_embedding(pixels).flatten(2).transpose(1, 2)
    first = parts.class_embedding.expand(len(pixels), 1, -1)
    place = parts.position_embedding(nn.functional.pad(positions + 1, (1, 0)))
    hidden = torch.cat([first, patches], dim=1) + place
    output: Tensor = tower.encoder(inputs_embeds=tower.pre_layrnorm(hidden)).last_hidden_state
    return output[:, 1:]


def start_local(tower: CLIPVisionModel) -> None:
    """Start from a tower whose patches attend to near and similar ones.

    Position vectors start as waves along both axes, large enough not to drown in what flat
    patches add up to, and queries start equal to keys. From the usual start, with small and
    unrelated position vectors, this tower learns colours but no shapes for long.
    """
    waves = torch.logspace(math.log10(2.0), math.log10(0.03), WIDTH // 4)
    places = torch.arange(GRID * GRID)
    turns = torch.cat([(places % GRID)[:, None] * waves, (places // GRID)[:, None] * waves], dim=1)
    with torch.no_grad():
        table = tower.embeddings.position_embedding.weight
        table[1:] = 2.0 * torch.cat([turns.sin(), turns.cos()], dim=1)
        for layer in tower.encoder.layers:
            attention: Any = layer.self_attn
            attention.q_proj.weight.mul_(2.0)
            attention.k_proj.weight.copy_(attention.q_proj.weight)


def place_features(positions: Tensor) -> Tensor:
    """Compute smooth features (..., 16) of a patch's column and row, from coarse to fine.

    A second picture's patches (576 and up) repeat the places of the first.
    """
    spots = torch.stack([positions % GRID, positions // GRID % GRID], dim=-1) / (GRID - 1)
    scales = torch.tensor([0.5, 1.0, 2.0, 4.0], device=positions.device) * torch.pi
    turns = (spots.unsqueeze(-1) * scales).flatten(-2)
    return torch.cat([turns.sin(), turns.cos()], dim=-1)
