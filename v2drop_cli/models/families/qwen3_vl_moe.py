"""Qwen3-VL with experts: tokens, positions and DeepStack as in Qwen3-VL (arXiv 2511.21631).

The same tokens are droppable. The router sees one token at a time and experts have no capacity
to run out of, so a token's output does not depend on how many others are left.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.qwen3_vl import QWEN3_VL

QWEN3_VL_MOE = dataclasses.replace(QWEN3_VL, name="qwen3_vl_moe", model_types=("qwen3_vl_moe",))
