"""Gemma 4 at tiny size, as its smallest models are: the last layers have no keys of their own."""

from __future__ import annotations

import dataclasses
from typing import Any

from v2drop_cli.prove.cases.gemma4 import CASE as GEMMA4
from v2drop_cli.prove.cases.gemma4 import config as plain


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """Layers 4 and 5 attend to the keys of layers 2, which has a window, and 3."""
    own = {"num_kv_shared_layers": 2, "use_double_wide_mlp": True}
    return plain({**text, **own}, ids)


CASE = dataclasses.replace(
    GEMMA4,
    name="gemma4_shared",
    variant_of="gemma4",
    config=config,
    drops=((1, 0.5), (2, 0.5)),
    entry=((0, 0.5), (2, 0.5)),
)
