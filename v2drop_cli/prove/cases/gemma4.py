"""Gemma 4 at tiny size: windows, and inputs of its own for every layer."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
)

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece

IMAGE, VIDEO, START, END, AUDIO = 3, 4, 5, 6, 7
PATCH = 4
# Two patches of a token each way; 64 patches of a picture at most, and 24 of a frame.
POOLED, PICTURE, FRAME = 2, 64, 24
# Its processors allow 70 tokens, and more; a thin picture has all of them in one row or column.
LONGEST = 70
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "patch_size": PATCH,
    "pooling_kernel_size": POOLED,
    "position_embedding_size": POOLED * LONGEST,
    "initializer_range": 0.3,
}
# A window shorter than any prompt, so that it cuts something. Products of queries and keys are not
# scaled down: small heads keep a rounding from becoming a large change.
WINDOWS: dict[str, Any] = {
    "head_dim": 4,
    "global_head_dim": 8,
    "sliding_window": 12,
    "final_logit_softcapping": 30.0,
    "initializer_range": 0.05,
}
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "boi_token_id": START,
    "eoi_token_id": END,
    "audio_token_id": AUDIO,
}


def layer_types(full: str) -> list[str]:
    """A kind for each letter: ``w`` has a window, ``f`` is full."""
    return [{"w": "sliding_attention", "f": "full_attention"}[letter] for letter in full]


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    own: dict[str, Any] = {
        "layer_types": layer_types("wfwfwf"),
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": text["vocab_size"],
    }
    return Gemma4Config(
        text_config=Gemma4TextConfig(**{**text, **WINDOWS, **own}),
        vision_config=Gemma4VisionConfig(**VISION),
        audio_config=None,
        **ids,
    )


def places(height: int, width: int, most: int) -> torch.Tensor:
    """Column and row of each of ``height`` x ``width`` patches, filled up with -1."""
    found = [[x, y] for y in range(height) for x in range(width)]
    return torch.tensor(found + [[-1, -1]] * (most - len(found)))


Size = tuple[int, int]


def picture(tokens: Size, patches: Size, most: int, side: int, seed: int) -> Piece:
    """A picture of so many tokens, rows and columns, made of patches of ``side`` pixels."""
    tensors = {
        "pixel_values": noise(1, most, 3 * side**2, seed=seed),
        "image_position_ids": places(*patches, most)[None],
    }
    return piece([START, *[IMAGE] * (tokens[0] * tokens[1]), END], IMAGE, tensors)


def steps(frames: int, tokens: Size, patches: Size, most: int, side: int, seed: int) -> Piece:
    """The same of each frame of a video, a word in place of each time."""
    tensors = {
        "pixel_values_videos": noise(frames, most, 3 * side**2, seed=seed),
        "video_position_ids": places(*patches, most).repeat(frames, 1, 1),
        "num_frames_per_video": torch.tensor([frames]),
    }
    step = [FIRST_WORD + 1, START, *[VIDEO] * (tokens[0] * tokens[1]), END]
    return piece(step * frames, VIDEO, tensors, kind=2)


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    return picture((h, w), (POOLED * h, POOLED * w), PICTURE, PATCH, seed)


def video(seed: int) -> Piece:
    """Two frames of 2 x 3 tokens or three of 3 x 2."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    return steps(t, (h, w), (POOLED * h, POOLED * w), FRAME, PATCH, seed)


CASE = Case(
    name="gemma4",
    model=Gemma4ForConditionalGeneration,
    config=config,
    ids=IDS,
    image=image,
    video=video,
    types=True,
)
