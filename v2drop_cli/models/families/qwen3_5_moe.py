"""Qwen3.5 with experts: tokens, positions and layers as in Qwen3.5.

The router sees one token at a time and experts have no capacity to run out of, so a token's output
does not depend on how many others are left.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.qwen3_5 import QWEN3_5

QWEN3_5_MOE = dataclasses.replace(QWEN3_5, name="qwen3_5_moe", model_types=("qwen3_5_moe",))
