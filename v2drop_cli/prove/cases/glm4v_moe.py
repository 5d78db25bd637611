"""GLM-4.5V at tiny size: GLM-4.1V with experts."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Glm4vMoeConfig, Glm4vMoeForConditionalGeneration

from v2drop_cli.prove.cases.glm4v import CASE as GLM4V
from v2drop_cli.prove.cases.glm4v import HEADS, ROPE, VISION


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """The first layer without experts; one shared expert and four others, two for a token."""
    experts: dict[str, Any] = {
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
    }
    text = {**experts, **text, **HEADS, "rope_parameters": ROPE}
    return Glm4vMoeConfig(vision_config=VISION, text_config=text, **ids)


CASE = dataclasses.replace(
    GLM4V,
    name="glm4v_moe",
    model=Glm4vMoeForConditionalGeneration,
    config=config,
    smooth={"num_experts_per_tok": 4},
)
