"""flex_attention for every family, uncompiled: compiling it for every shape takes too long."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface, masking_utils
from transformers.integrations.flex_attention import WrappedFlexAttention, flex_attention_forward

from tests.families import ABSENT, CASES, NAMES
from tests.matrix.test_flash import alive_by_layer, model_of
from tests.matrix.test_matrix import dropped_in
from tests.matrix.truth import attends, batch, check, defined
from v2drop_cli.models.decoders import windows

pytestmark = pytest.mark.no_cover

STEPS = 2
FLEX = "flex_attention"
# transformers offers flex attention for these; the others it refuses, see the last test. GOT-OCR's
# class says no for its tower, which is never asked; its decoder is a Qwen2. Aria says that it has
# it, and its decoder says that it has not; so does Fuyu.
SAYS = {"got_ocr2": True, "aria": False, "fuyu": False}
OFFERED = [n for n in NAMES if SAYS.get(n, CASES[n].model._supports_flex_attn)]
CELLS = [
    pytest.param(name, shape, id=f"{name}-{shape}")
    for name in (*OFFERED, *({"gemma4_shared"} - ABSENT))  # whose last layers share masks, too
    for shape in CASES[name].shapes
    if shape in ("image", "ragged")
]


@pytest.fixture
def calls(monkeypatch):
    """What flex attention was handed, call by call: queries, keys, mask."""
    found = []

    def attention(module, query, key, value, attention_mask, **kwargs):
        found.append((query.shape[2], key.shape[2], attention_mask))
        return flex_attention_forward(module, query, key, value, attention_mask, **kwargs)

    for name, value in (
        ("_instance", None),
        ("_compiled_flex_attention", staticmethod(flex_attention)),
        ("_is_flex_compiled", True),
        ("training", False),
    ):
        monkeypatch.setattr(WrappedFlexAttention, name, value, raising=False)

    def block_mask(*args, _compile, **kwargs):
        return create_block_mask(*args, **kwargs)

    monkeypatch.setattr(masking_utils, "create_block_mask", block_mask)
    monkeypatch.setitem(AttentionInterface._global_mapping, FLEX, attention)
    return found


@pytest.mark.proves(FLEX)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(("name", "shape"), CELLS)
def test_flex_equals_the_masked_oracle(calls, name, shape):
    model, (inputs, _) = model_of(name, FLEX), batch(name, shape)
    dropped, kept = defined(name, shape)
    got, trace = dropped_in(model, name, shape, CASES[name].schedule, steps=STEPS)
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    check(name, shape, dropped, got)

    alive = alive_by_layer(name, inputs, trace.events)
    whole = inputs["attention_mask"].sum(1).tolist()
    layers = CASES[name].layers(model)
    cut = windows(model.config) or (None,) * len(layers)
    cut = [window for layer, window in zip(layers, cut, strict=True) if attends(layer)]
    assert len(calls) == len(alive) * (1 + STEPS)
    for number, (queries, keys, mask) in enumerate(calls):
        step, layer = divmod(number, len(alive))
        width = max(alive[layer]) if alive[layer] != whole else inputs["input_ids"].shape[1]
        assert isinstance(mask, BlockMask)
        if cut[layer]:  # see `tests/instrument/test_windows.py`
            assert mask.seq_lengths == (queries, keys)
            continue
        assert (queries, keys) == (1 if step else width, width + step)
        assert mask.seq_lengths == (queries, keys)
        assert mask.shape[0] == len(alive[layer])
        assert block_lengths(mask, queries, keys) == [n + step for n in alive[layer]]


def block_lengths(mask, queries, keys):
    """Per row, how many columns any of its queries may look at."""
    rows, queries, columns = torch.arange(mask.shape[0]), torch.arange(queries), torch.arange(keys)
    head = torch.tensor(0)
    seen = mask.mask_mod(rows[:, None, None], head, queries[:, None], columns)
    return seen.expand(len(rows), len(queries), keys).any(1).sum(1).tolist()


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OFFERED)))
def test_transformers_refuses_the_others(name):
    with pytest.raises(ValueError, match="flex_attention"):
        CASES[name].make("flex_attention")
