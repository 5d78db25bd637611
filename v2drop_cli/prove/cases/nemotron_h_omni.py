"""Nemotron-H Omni at tiny size: Mamba 2, attention without rotary tables, experts, a plain MLP."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import NemotronH_Omni_Reasoning_V3, NemotronH_Omni_Reasoning_V3_Config

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, Piece, noise, piece

IMAGE, VIDEO, START, END, HEARD = 3, 4, 5, 6, 7
PATCH = 4
# Every kind of block comes after a drop, and right behind one.
KINDS = ["linear_attention", "moe", "full_attention", "linear_attention", "mlp", "full_attention"]
DECODER: dict[str, Any] = {
    "layers_block_type": KINDS,
    "head_dim": 8,
    "ssm_state_size": 8,
    "mamba_num_heads": 4,
    "mamba_head_dim": 8,
    "n_groups": 2,
    "chunk_size": 8,  # shorter than a prompt
    # The step of a prefill is no shorter than this; one token at a time, transformers has no limit.
    "time_step_min": 1e-6,
    "time_step_max": 0.5,
    "time_step_floor": 1e-2,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
}
VISION: dict[str, Any] = {
    "model_type": "radio",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 2.0,
    "patch_size": PATCH,
    "image_size": 32,
    "max_img_size": 64,
    "num_cls_tokens": 1,
    "num_registers": 1,
    "summary_idxs": [0],
    "video_temporal_patch_size": 2,
    "initializer_range": 0.3,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration, without ears."""
    decoder = {**DECODER, **{k: v for k, v in text.items() if k != "num_hidden_layers"}}
    return NemotronH_Omni_Reasoning_V3_Config(
        vision_config=VISION,
        text_config={"model_type": "nemotron_h", **decoder},
        audio_config=None,
        projector_hidden_size=24,
        vision_hidden_size=16,
        audio_token_id=HEARD,
        **ids,
    )


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * PATCH**2, seed=seed),
        "image_grid_hw": torch.tensor([[2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


def video(seed: int) -> Piece:
    """Two pairs of frames of 2 x 3 tokens under an image's id, words in place of the times."""
    pixels = noise(1, 2, 2 * 3, 4 * PATCH, 6 * PATCH, seed=seed)
    step = [FIRST_WORD, FIRST_WORD + 1, START, *[IMAGE] * 6, END]
    return piece(step * 2, IMAGE, {"pixel_values_videos": pixels}, kind=2)


def _sees_video() -> bool:
    """Before 5.24, transformers joins the features of a clip as if they were several, and fails."""
    return tuple(int(n) for n in transformers.__version__.split(".")[:2]) >= (5, 24)


def _layers(model: Any) -> Any:
    return model.language_model.model.layers


CASE = Case(
    name="nemotron_h_omni",
    model=NemotronH_Omni_Reasoning_V3,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video if _sees_video() else None,
    mixed=not _sees_video(),
    smooth={"num_experts_per_tok": 4},
    layers=_layers,
)
