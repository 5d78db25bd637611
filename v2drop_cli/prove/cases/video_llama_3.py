"""VideoLLaMA 3 at tiny size: what is still in a video is left out."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen2Config, VideoLlama3Config, VideoLlama3ForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece

IMAGE, VIDEO = 3, 4
PATCH = 14  # as published: smaller ones would make many tokens of the smallest frame
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return VideoLlama3Config(vision_config=VISION, text_config=Qwen2Config(**text), **ids)


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens, a patch each."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(h * w, 3 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, h, w]]),
        "image_merge_sizes": torch.tensor([1]),
    }
    return piece([IMAGE] * (h * w), IMAGE, tensors)


def video(seed: int) -> Piece:
    """Three frames of 2 x 3 tokens, four patches each; two and three are left of the later ones."""
    kept = [[True] * 6, [False, True, True, False, False, False], [True, False, True] + [False] * 3]
    kept[2][5] = bool(seed % 2)
    tensors = {
        "pixel_values_videos": noise(3 * 4 * 6, 3 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[3, 4, 6]]),
        "video_merge_sizes": torch.tensor([2]),
        "video_compression_mask": torch.tensor([flag for frame in kept for flag in frame]),
    }
    ids = [i for frame in kept for i in (FIRST_WORD + 1, *[VIDEO] * sum(frame))]
    return piece(ids, VIDEO, tensors, kind=2)


CASE = Case(
    name="video_llama_3",
    model=VideoLlama3ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video,
)
