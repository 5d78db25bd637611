"""Qwen3-Omni's thinker: audio beside vision, experts, DeepStack (arXiv 2509.17765).

Tokens as in Qwen2.5-Omni: images and videos are droppable, audio stays. DeepStack adds features of
the vision tower to what leaves the first decoder layers; after a drop, survivors get their own of
them, so that a drop may come before them, at layer 0 too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from v2drop_cli.models.families.qwen2_5_omni import QWEN2_5_OMNI
from v2drop_cli.models.later import Later


def _later(arguments: Mapping[str, Any]) -> Later | None:
    features, where = arguments.get("deepstack_visual_embeds"), arguments.get("visual_pos_masks")
    if features is None or where is None:
        return None
    entering = dict(enumerate(features, start=1))
    return Later("deepstack_visual_embeds", entering, where, listed=True)


QWEN3_OMNI_MOE = dataclasses.replace(
    QWEN2_5_OMNI,
    name="qwen3_omni_moe",
    model_types=("qwen3_omni_moe_thinker",),
    later=_later,
)
