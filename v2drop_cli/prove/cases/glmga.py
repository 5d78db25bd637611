"""GLM-GA at tiny size: GLM-4.6V's class, configured as another model type."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import GlmgaConfig

from v2drop_cli.prove.cases.glm46v import CASE as GLM46V
from v2drop_cli.prove.cases.glm46v import parts


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return GlmgaConfig(**parts(text), **ids)


CASE = dataclasses.replace(GLM46V, name="glmga", variant_of="glm46v", config=config)
