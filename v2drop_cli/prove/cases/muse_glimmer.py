"""Muse Glimmer at tiny size: windows shorter than the prompt, layers without rotary tables."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import MuseGlimmerConfig, MuseGlimmerForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Piece, noise, piece
from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import END, IMAGE, PATCH, START, VIDEO

WINDOW = 8
SEPARATOR = 7
VISION: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "pos_emb_height": 4,
    "pos_emb_width": 4,
    "rope_parameters": {"rope_type": "axial", "rope_theta": 10000.0},
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The second layer and the last have no window, and no rotary tables."""
    decoder = {**text, "head_dim": 8, "sliding_window": WINDOW, "output_multiplier": 0.2}
    # The default, 3.87, is for larger heads: here it makes a rounding a large change.
    decoder["qk_scale_factor"] = 2.0
    return MuseGlimmerConfig(
        vision_config=VISION,
        text_config=decoder,
        out_hidden_size=4 * VISION["hidden_size"],
        projector_hidden_size=24,
        **ids,
    )


def video(seed: int) -> Piece:
    """Two pairs of frames of 2 x 3 tokens or three of 3 x 2, a word in place of each time."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * 2 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    step = [FIRST_WORD + 1, *[VIDEO] * (h * w), SEPARATOR]
    return piece([START, *(step * t)[:-1], END], VIDEO, tensors, kind=2)


CASE = dataclasses.replace(
    QWEN2_VL,
    name="muse_glimmer",
    model=MuseGlimmerForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    video=video,
    types=False,
)
