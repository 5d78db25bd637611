"""What a method costs beside dropping itself: products with weights that it makes again."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli as v2drop
from tests.tiny_llava import PATCHES, make_llava, one_prompt
from v2drop_cli.methods.registry import METHODS

# Per method, how many rows each further product with a matrix of weights has: `width` is the whole
# prompt, for the keys of one layer, and 1 is one query. Tests of other methods may add theirs.
EXTRA = {
    "v2drop": [],
    "random": [],
    "uniform": [],
    "fastv": ["width", 1],
    "pyramiddrop": ["width", 1],
    "dart": ["width"],
    "vtw": [],
}


def products(model, inputs, method):
    """Rows of each linear layer of the decoder that ran, for a single drop at layer 3."""
    rows: list[int] = []
    handles = [
        module.register_forward_hook(lambda module, args, output: rows.append(args[0].shape[-2]))
        for module in model.model.language_model.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    schedule = "3:0" if method == "vtw" else "3:12t"
    with torch.no_grad(), v2drop.dropping(model, schedule, method=method):
        model(**inputs)
    for handle in handles:
        handle.remove()
    return rows


@pytest.mark.parametrize("method", EXTRA)
def test_only_what_the_definition_needs_is_computed(method):
    assert method in METHODS
    model, inputs = make_llava(6), one_prompt()
    width = inputs["input_ids"].shape[1]
    left = width - PATCHES + (0 if method == "vtw" else 12)
    plain = [width] * (3 * 7) + [left] * (3 * 7)  # q, k, v, o, gate, up, down in each layer
    extra = [width if rows == "width" else rows for rows in EXTRA[method]]
    assert sorted(products(model, inputs, method)) == sorted(plain + extra)
