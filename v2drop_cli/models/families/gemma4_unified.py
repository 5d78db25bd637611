"""Gemma 4 unified: Gemma 4 without a vision tower, patches go straight into the decoder.

Tokens as in Gemma 4. A picture's tokens attend to each other in both directions in every layer, as
in Gemma 3, not in those with a window alone. transformers makes masks of pictures for every token
of the answer, too, as wide as the cache of layer 0, so that layer must hold the whole prompt.
"""

from __future__ import annotations

import dataclasses

from v2drop_cli.models.families.gemma4 import GEMMA4

GEMMA4_UNIFIED = dataclasses.replace(
    GEMMA4,
    name="gemma4_unified",
    model_types=("gemma4_unified",),
    blocks_in_windows=False,
    first_droppable_layer=lambda config: 1,
    full_until="transformers sizes the masks of pictures by the cache of layer 0",
    vision_tower=lambda model: None,
)
