"""Qwen3-Omni's thinker at tiny size: experts, DeepStack, a sound before some pictures."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Qwen3OmniMoeThinkerConfig, Qwen3OmniMoeThinkerForConditionalGeneration

from v2drop_cli.prove.cases.case import Piece
from v2drop_cli.prove.cases.qwen2_5_omni import CASE as QWEN2_5_OMNI
from v2drop_cli.prove.cases.qwen2_5_omni import SOUND, after, sound
from v2drop_cli.prove.cases.qwen2_vl import image as picture
from v2drop_cli.prove.cases.qwen3_vl import ROPE, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """One layer without experts among the others; four experts, two of them for a token."""
    experts: dict[str, Any] = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "mlp_only_layers": [2],
    }
    return Qwen3OmniMoeThinkerConfig(
        audio_config={**SOUND, "n_window_infer": 16, "downsample_hidden_size": 4},
        vision_config=VISION,
        text_config={**experts, **text, "head_dim": 8, "rope_parameters": ROPE},
        position_id_per_seconds=4,
        **ids,
    )


def image(seed: int) -> Piece:
    """Qwen2-VL's; every second after a sound: eight frames become one token."""
    if seed % 2:
        return picture(seed)
    frames, tokens = [(15, 2), (8, 1)][seed // 2 % 2]
    return after(sound(frames, tokens, seed), picture(seed))


CASE = dataclasses.replace(
    QWEN2_5_OMNI,
    name="qwen3_omni_moe",
    model=Qwen3OmniMoeThinkerForConditionalGeneration,
    config=config,
    image=image,
    smooth={"num_experts_per_tok": 4},
)
