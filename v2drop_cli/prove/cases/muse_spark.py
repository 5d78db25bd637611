"""Muse Spark at tiny size: Muse Glimmer's layers with experts, and an ear that hears nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import MuseSparkConfig, MuseSparkForConditionalGeneration

from v2drop_cli.prove.cases.muse_glimmer import CASE as MUSE_GLIMMER
from v2drop_cli.prove.cases.muse_glimmer import VISION, WINDOW

AUDIO: dict[str, Any] = {
    "patch_sizes": [2, 2],
    "hidden_sizes": [6, 8],
    "depths": [1, 1],
    "num_hidden_layers": 2,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The first layer is dense; the others have four experts, of which a token takes two."""
    experts: dict[str, Any] = {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "moe_hidden_size": 24,
        "mlp_layer_types": ["dense"] + ["sparse"] * (text["num_hidden_layers"] - 1),
    }
    return MuseSparkConfig(
        vision_config=VISION,
        text_config={
            **experts,
            **text,
            "head_dim": 8,
            "sliding_window": WINDOW,
            "output_multiplier": 0.2,
            "qk_scale_factor": 2.0,  # as in Muse Glimmer's case
            "post_norm_eps": 1e-2,  # of small numbers, whose rounding a smaller one enlarges
        },
        audio_config={**AUDIO, "out_hidden_size": text["hidden_size"]},
        out_hidden_size=4 * VISION["hidden_size"],
        projector_hidden_size=24,
        audio_token_id=8,
        **ids,
    )


CASE = dataclasses.replace(
    MUSE_GLIMMER,
    name="muse_spark",
    variant_of="muse_glimmer",
    model=MuseSparkForConditionalGeneration,
    config=config,
    smooth={"num_experts_per_tok": 4},
)
