"""Shipped architectures with some numbers changed: a smaller tower, or a model for a dry run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2drop_cli.models.names import ASSETS

SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}

SMALL_MROPE = {"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 3, 3]}
SMALL_QWEN = {"embed_dim": 32, "hidden_size": 64, "depth": 1, "num_heads": 2}


def changed(asset: str, folder: Path, text: Mapping[str, Any], vision: Mapping[str, Any]) -> str:
    """Write ``asset``'s config with changes to ``folder``; return what ``--model`` takes."""
    values = json.loads((ASSETS / asset).read_text(encoding="utf-8"))
    values["text_config"] |= text
    values["vision_config"] |= vision
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return str(folder)
