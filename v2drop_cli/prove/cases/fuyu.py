"""Fuyu at tiny size: patches go through a linear map into a Persimmon decoder."""

from __future__ import annotations

from typing import Any

from transformers import FuyuConfig, FuyuForCausalLM

from v2drop_cli.prove.cases.case import Case, Piece, noise, piece

IMAGE, NEWLINE = 3, 5
PATCH = 4


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration. Persimmon has as many heads of keys as of queries."""
    decoder = {name: value for name, value in text.items() if name != "num_key_value_heads"}
    return FuyuConfig(text_config={"model_type": "persimmon", **decoder}, patch_size=PATCH, **ids)


def image(seed: int) -> Piece:
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 patches, a token of text after each row of them."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    pixels = noise(h * w, 3 * PATCH**2, seed=seed)
    return piece([*[IMAGE] * w, NEWLINE] * h, IMAGE, {"pixel_values": pixels})


CASE = Case(
    name="fuyu",
    model=FuyuForCausalLM,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
)
