"""What each family's batches must give, made once and held against every attention implementation.

The truth is the model in float32 and eager attention, dense and with dropped tokens masked. Every
cell of the matrix feeds the tokens that the dense model chose, so what the dense model and the
oracle say of a batch is the same for all of them, and a worker computes it once.
"""

from __future__ import annotations

import functools

import torch

from tests.families import CASES
from v2drop_cli.prove.oracle import count, decode, define, evenly
from v2drop_cli.prove.oracle import masked as masking

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
# Gemma 4 scales what leaves each layer: kernels differ by 1.8e-5 where others do by 1e-5.
# dots3 Note scales its latents up, likewise; Granite's features, added in later layers, differ by
# 1.2e-5 on a CPU without AVX-512, and by 3e-6 in float64 with eager's softmax in float32.
ROUGH = {name: {"atol": 3e-5, "rtol": 3e-5} for name in ("gemma4", "dots3_note", "granite4_vision")}
STEPS = 8  # decoded after the prefill; who needs fewer takes the first ones


def attends(layer):
    """Whether it has an attention: neither folds tokens nor looks at one at a time."""
    return any(hasattr(module, "is_causal") for module in layer.modules())


@functools.cache
def model_of(name, attn):
    """The family's tiny model, all of it in this attention. Whoever borrows it changes nothing."""
    return CASES[name].make(attn)


@functools.cache
def batch(name, shape):
    """The model's tensors, and each row's vision columns."""
    case = CASES[name]
    return case.batch(case.prompts(shape))


@functools.cache
def dense(name, shape):
    """All logits of the dense model, and the tokens it chose."""
    return decode(model_of(name, "eager"), batch(name, shape)[0], STEPS)


@functools.cache
def defined(name, shape):
    """What V2Drop drops and keeps at the case's layers, in plain Python."""
    inputs, vision = batch(name, shape)
    return define(CASES[name], model_of(name, "eager"), inputs, vision)


def spaced(name, shape):
    """What `uniform` drops and keeps at the case's layers from the decoder's input on."""
    kept, dropped, alive = {}, {}, batch(name, shape)[1]
    for layer, keep in CASES[name].entry:
        kept[layer] = [evenly(row, count(len(row), keep)) for row in alive]
        dropped[layer] = [set(a) - set(k) for a, k in zip(alive, kept[layer], strict=True)]
        alive = kept[layer]
    return dropped, kept


def gone(events, vision):
    """Per drop layer and row, the vision tokens that go there, told by a trace."""
    dropped, alive = {}, vision
    for event in events:
        stays = [list(row) for row in event.kept]
        assert all(set(row) <= set(tokens) for row, tokens in zip(stays, alive, strict=True))
        dropped[event.layer] = [set(t) - set(row) for t, row in zip(alive, stays, strict=True)]
        alive = stays
    return dropped


def masked(name, shape, dropped, steps=STEPS):
    """Logits of the dense model with `dropped` masked from their layers on."""
    frozen = tuple((layer, *map(frozenset, rows)) for layer, rows in dropped.items())
    return _masked(name, shape, frozen, steps)


@functools.lru_cache(64)
def _masked(name, shape, frozen, steps):
    model, inputs = model_of(name, "eager"), batch(name, shape)[0]
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
    _, fed = dense(name, shape)  # before anything is masked
    with masking(CASES[name].layers(model), padding, {layer: rows for layer, *rows in frozen}):
        return decode(model, inputs, steps, fed)[0]


def survivors(name, shape, dropped):
    """`[B, Q]` bool: the prompt's columns whose output means something to the end."""
    found = batch(name, shape)[0]["attention_mask"].bool().clone()
    for rows in dropped.values():
        for b, columns in enumerate(rows):
            found[b, list(columns)] = False
    return found


def check(name, shape, dropped, got, steps=STEPS):
    """`got`, the logits of a prefill and of some steps, is what masking `dropped` gives.

    And masking shows in the answer, or the comparison would prove nothing. `steps` is how many
    the oracle is asked for: the same number everywhere is the same answer everywhere.
    """
    wanted, where = masked(name, shape, dropped, steps), survivors(name, shape, dropped)
    tolerance = ROUGH.get(name, TOLERANCE)
    torch.testing.assert_close(got[0][where], wanted[0][where], **tolerance)
    for a, b in zip(got[1:], wanted[1 : len(got)], strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    last = len(got) - 1
    assert (dense(name, shape)[0][last] - wanted[last]).abs().max() > 1e-3
