"""PaliGemma 2 at tiny size: every other layer has a window, shorter than the prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from transformers import Gemma2Config

from v2drop_cli.prove.cases import paligemma

WINDOW = 12


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """PaliGemma's tiny configuration around a Gemma 2."""
    found = paligemma.config(text, ids)
    found.text_config = Gemma2Config(
        **text, head_dim=8, query_pre_attn_scalar=8, sliding_window=WINDOW
    )
    return found


CASE = replace(paligemma.CASE, name="paligemma2", variant_of="paligemma", config=config)
