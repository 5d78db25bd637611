"""GLM-4.5V, which has experts: tokens and positions as in GLM-4.1V (arXiv 2507.01006).

The same tokens are droppable. The router sees one token at a time and experts have no capacity
to run out of, so a token's output does not depend on how many others are left.

Not with flash kernels: transformers (5.17 to 5.23) hands every layer of this model all three
rows of M-RoPE positions, which its flash path takes for packed sequences, dropping or not.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.glm4v import GLM4V


def refuse_three_rows(config: Any) -> str | None:
    """Why flash kernels are refused, if the decoder is this model's."""
    if config.get_text_config().model_type != "glm4v_moe_text":
        return None
    why = "transformers tells flash kernels wrong positions for it; sdpa is right"
    return refuse_flash(config, why)


def _refusal(config: Any) -> str | None:
    return refuse_three_rows(config) or refuse_decoder(config)


GLM4V_MOE = dataclasses.replace(
    GLM4V, name="glm4v_moe", model_types=("glm4v_moe",), refusal=_refusal
)
