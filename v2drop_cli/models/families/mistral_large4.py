"""Mistral Large 4: pictures as in Mistral 3; the decoder's layers choose what they look at.

Every layer attends to what an index chose among the columns. A layer may have no index of its own
and take the choice of an earlier one: see ``docs/dropping.md``. Queries are scaled by the logarithm
of their position. The cache holds latents, and the index's own keys.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from v2drop_cli.models.decoders import refuse_decoder
from v2drop_cli.models.families.mistral3 import MISTRAL3


def _refusal(config: Any) -> str | None:
    text = config.get_text_config()
    sources = getattr(text, "kv_source_layers", None) or ()
    if any(source != layer for layer, source in enumerate(sources)):
        return "some of its layers share keys and values, and would see dropped tokens through them"
    return refuse_decoder(config)


MISTRAL_LARGE4 = dataclasses.replace(
    MISTRAL3, name="mistral_large4", model_types=("mistral_large4",), refusal=_refusal
)
