"""Physical dropping gives what the masked oracle gives: kept sets, prefill and decode."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.oracle import angle, define_drops, l1, l2, masked
from tests.release import CACHE
from tests.tiny_llava import make_llava, mixed_batch, one_prompt

SCHEDULE = "3:0.5,17:0.5,22:1t"
STAGES = [(3, 0.5), (17, 0.5), (22, 1)]
BATCHES = {
    "one": one_prompt,
    "left": lambda: mixed_batch("left"),
    "right": lambda: mixed_batch("right"),
}
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def positions(inputs):
    mask = inputs["attention_mask"]
    return (mask.cumsum(-1) - 1).clamp(min=0)


def decode(model, inputs, steps, tokens=None):
    """Prefill and `steps` decode steps; returns all logits and the tokens fed."""
    cache = DynamicCache(config=model.config)
    at = positions(inputs)
    mask = inputs["attention_mask"]
    with torch.no_grad():
        out = model(**inputs, position_ids=at, **{CACHE: cache}, use_cache=True)
        logits = [out.logits]
        last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        at = at.gather(1, last[:, None])
        following = out.logits[torch.arange(len(mask)), last].argmax(-1)
        fed = []
        for step in range(steps):
            token = following if tokens is None else tokens[step]
            fed.append(token)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            at = at + 1
            out = model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=at,
                **{CACHE: cache},
                use_cache=True,
            )
            logits.append(out.logits)
            following = out.logits[:, -1].argmax(-1)
    return logits, fed


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", BATCHES)
def test_v2drop_equals_the_masked_oracle(attn, shape):
    model, inputs = make_llava(attn=attn), BATCHES[shape]()
    dropped, kept = define_drops(model, inputs, STAGES)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 8), value=1)
    with masked(model, padding, dropped):
        wanted, tokens = decode(model, inputs, 8)
    with v2drop.dropping(model, SCHEDULE) as trace:
        got, _ = decode(model, inputs, 8, tokens)

    assert [event.layer for event in trace.events] == [3, 17, 22]
    for event in trace.events:
        assert [list(r) for r in event.kept] == kept[event.layer]
        assert event.after == tuple(len(r) for r in kept[event.layer])
    survivors = inputs["attention_mask"].bool().clone()
    for rows in dropped.values():
        for b, gone in enumerate(rows):
            survivors[b, list(gone)] = False
    assert got[0].shape == wanted[0].shape
    torch.testing.assert_close(got[0][survivors], wanted[0][survivors], **TOLERANCE)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


@pytest.mark.parametrize(
    ("method", "distance"), [("v2drop", l2), ("v2drop-l1", l1), ("v2drop-cosine", angle)]
)
def test_every_variant_keeps_what_its_definition_says(method, distance):
    model, inputs = make_llava(8), mixed_batch()
    _, kept = define_drops(model, inputs, [(1, 0.5), (2, 0.25), (5, 2)], distance)
    with v2drop.dropping(model, "1:0.5,2:0.25,5:2t", method=method) as trace, torch.no_grad():
        model(**inputs)
    assert {e.layer: [list(r) for r in e.kept] for e in trace.events} == kept


def test_the_oracle_differs_from_dense():
    """Guards the tests above: were the masks of no effect, they would prove nothing."""
    model, inputs = make_llava(), one_prompt()
    dropped, _ = define_drops(model, inputs, STAGES)
    with torch.no_grad():
        dense = model(**inputs).logits
        with masked(model, inputs["attention_mask"], dropped):
            oracle = model(**inputs).logits
    assert (dense - oracle)[:, -1].abs().max() > 1e-2


@pytest.mark.parametrize("method", ["v2drop", "random", "uniform"])
@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_a_row_does_not_depend_on_its_batch(attn, method):
    model, inputs = make_llava(12, attn), mixed_batch()
    schedule = "1:0.5,6:0.3,8:0"
    with v2drop.dropping(model, schedule, method=method):
        together, _ = decode(model, inputs, 3)
    images = 0
    for b, mask in enumerate(inputs["attention_mask"].bool()):
        ids = inputs["input_ids"][b : b + 1, mask]
        count = int((ids == 3).sum()) // 36
        alone = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if count:
            alone["pixel_values"] = inputs["pixel_values"][images : images + count]
            images += count
        with v2drop.dropping(model, schedule, method=method) as trace:
            single, _ = decode(model, alone, 3)
        assert bool(trace.events) == bool(count)
        torch.testing.assert_close(single[0][0, -1], together[0][b, -1], **TOLERANCE)
        for a, c in zip(single[1:], together[1:], strict=True):
            torch.testing.assert_close(a[0], c[b], **TOLERANCE)
