"""Qwen4-Exp: tokens and positions as in Qwen3.5; layers with full attention have an index.

The index pools the columns that a token may see in groups of a few neighbours, and chooses the best
groups; what is left over of the last group is seen anyway. It takes its groups from the mask, so
they are groups of survivors: see ``docs/dropping.md``. Its keys are turned to where a group's first
column is, so layers are handed the rotary tables of all columns. Layers with linear attention
may be given the token ids, too: what they add for two or three ids in a row is, after a drop, for
two or three survivors in a row.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.qwen3_5 import QWEN3_5
from v2drop_cli.models.projections import Projections

QWEN4_EXP = dataclasses.replace(
    QWEN3_5, name="qwen4_exp", model_types=("qwen4_exp",), projections=Projections()
)
