"""Qwen2.5-Omni's thinker at tiny size: a sound before some pictures, video without sound."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, Piece, noise
from v2drop_cli.prove.cases.qwen2_vl import IDS as VISION_IDS
from v2drop_cli.prove.cases.qwen2_vl import PATCH, ROPE
from v2drop_cli.prove.cases.qwen2_vl import image as picture
from v2drop_cli.prove.cases.qwen2_vl import video as clip

AUDIO, AUDIO_START, AUDIO_END = 7, 8, 9
IDS = {
    **VISION_IDS,
    "audio_token_id": AUDIO,
    "audio_start_token_id": AUDIO_START,
    "audio_end_token_id": AUDIO_END,
}
BINS, LONGEST = 8, 16
SOUND: dict[str, Any] = {
    "num_mel_bins": BINS,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "d_model": 16,
    "max_source_positions": 64,
    "n_window": 8,
    "output_dim": 32,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "out_hidden_size": 32,
        "intermediate_size": 24,
        "num_heads": 2,
        "patch_size": PATCH,
        "window_size": 16,
        "fullatt_block_indexes": [1],
        "initializer_range": 0.3,
    }
    return Qwen2_5OmniThinkerConfig(
        audio_config=SOUND,
        vision_config=vision,
        text_config={**text, "rope_parameters": ROPE},
        position_id_per_seconds=4,
        **ids,
    )


def sound(frames: int, tokens: int, seed: int) -> Piece:
    """A sound of so many frames that becomes so many tokens, none of them droppable."""
    ids = [AUDIO_START, *[AUDIO] * tokens, AUDIO_END]
    heard = {
        "input_features": noise(1, BINS, LONGEST, seed=seed),
        "feature_attention_mask": (torch.arange(LONGEST) < frames).long()[None],
    }
    return Piece(ids, [False] * len(ids), 0, heard)


def after(heard: Piece, shown: Piece) -> Piece:
    """Both in a row."""
    return Piece(
        heard.ids + shown.ids, heard.vision + shown.vision, 1, heard.tensors | shown.tensors
    )


def image(seed: int) -> Piece:
    """Qwen2-VL's; every second after a sound."""
    if seed % 2:
        return picture(seed)
    frames, tokens = [(16, 4), (12, 3)][seed // 2 % 2]
    return after(sound(frames, tokens, seed), picture(seed))


def video(seed: int) -> Piece:
    """Qwen2-VL's, at two or three seconds a step."""
    piece = clip(seed)
    seconds = {"video_second_per_grid": torch.tensor([2.0 + seed % 2])}
    return dataclasses.replace(piece, tensors=piece.tensors | seconds)


def layers(model: Any) -> Any:
    """Before transformers 5.20 the thinker held its parts itself."""
    return getattr(model.model, "language_model", model.model).layers


CASE = Case(
    name="qwen2_5_omni",
    model=Qwen2_5OmniThinkerForConditionalGeneration,
    config=config,
    ids=IDS,
    image=image,
    video=video,
    layers=layers,
)
