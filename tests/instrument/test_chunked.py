"""Layers that attend in chunks, and those between them that scale queries by their own count."""

from __future__ import annotations

import functools

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import ABSENT, CASES
from tests.instrument.test_entry import gone
from tests.instrument.test_windows import furthest
from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.instrument import dropping as room
from v2drop_cli.instrument import remade
from v2drop_cli.instrument.masks import View
from v2drop_cli.prove.cases.llama4 import CHUNK
from v2drop_cli.prove.oracle import decode, masked

if "llama4" in ABSENT:
    pytest.skip("this transformers has no Llama 4 in working order", allow_module_level=True)
CASE = CASES["llama4"]
STEPS = CHUNK + 4  # so that later tokens come into a chunk of their own
SCHEDULES = ["1:0.5,3:0.5", "0:0.5,3:0.5", "2:0.5,4:0.5"]


@functools.cache
def model_of(attn):
    """Queries of the layers without rotary tables are scaled anew every four columns."""
    model = CASE.make(attn)
    for layer in CASE.layers(model):
        layer.self_attn.floor_scale, layer.self_attn.attn_scale = 4, 1.0
    return model


def dropped(attn, inputs, steps, schedule=SCHEDULES[0], tokens=None):
    with v2drop.dropping(model_of(attn), schedule, method="random", seed=1) as trace:
        logits, fed = decode(model_of(attn), inputs, steps, tokens)
    return logits, fed, trace


def oracle(attn, inputs, vision, trace, tokens):
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, len(tokens)), value=1)
    with masked(CASE.layers(model_of(attn)), padding, gone(trace.events, vision)):
        return decode(model_of(attn), inputs, len(tokens), tokens)[0]


@pytest.mark.mode("attention in chunks that are shorter than the prompt (Llama 4)", "works",
                  "counted in the columns of the whole sequence, from a row's first token on")  # fmt: skip # noqa: E501
@pytest.mark.parametrize(
    ("attn", "shape", "schedule"),
    [("eager", "image", SCHEDULES[0]), *(("sdpa", "ragged", drops) for drops in SCHEDULES)],
)
def test_chunks_count_dropped_tokens_and_so_do_scaled_queries(attn, shape, schedule):
    """At the prefill, and while decoding from one chunk into the next, and the one after that."""
    inputs, vision = CASE.batch(CASE.prompts(shape))
    assert inputs["input_ids"].shape[1] > 2 * CHUNK
    got, tokens, trace = dropped(attn, inputs, STEPS, schedule)
    wanted = oracle(attn, inputs, vision, trace, tokens)
    assert furthest(got, wanted) < 1e-5
    dense, _ = decode(model_of(attn), inputs, STEPS, tokens)
    assert furthest(dense[:1], wanted[:1]) > 1e-3  # else the masks prove nothing


def test_chunks_of_columns_are_another_answer_and_a_wrong_one(monkeypatch):
    inputs, vision = CASE.batch(CASE.prompts("image"))
    _, tokens, trace = dropped("sdpa", inputs, 4)
    wanted = oracle("sdpa", inputs, vision, trace, tokens)

    def by_column(size, places, cuts_blocks, starts):
        return View(size, torch.arange(places.shape[1]).expand_as(places), cuts_blocks, starts)

    monkeypatch.setattr(remade, "View", by_column)
    counted, *_ = dropped("sdpa", inputs, 4, tokens=tokens)
    assert all(furthest([a], [b]) > 1e-3 for a, b in zip(counted, wanted, strict=True))


def test_queries_scaled_by_columns_are_another_answer_and_a_wrong_one(monkeypatch):
    inputs, vision = CASE.batch(CASE.prompts("image"))
    _, tokens, trace = dropped("sdpa", inputs, 4)
    wanted = oracle("sdpa", inputs, vision, trace, tokens)
    monkeypatch.setattr(room, "temperature_hooks", lambda state, layers: [])
    counted, *_ = dropped("sdpa", inputs, 4, tokens=tokens)
    assert all(furthest([a], [b]) > 1e-3 for a, b in zip(counted, wanted, strict=True))


def test_a_query_sees_its_own_chunk_only():
    """Columns 0, 3, 4 and 7 of a prompt are left, in chunks of 4; then column 8 comes."""
    places = torch.tensor([[0, 3, 4, 7, 8]])
    at = torch.arange(5)
    seen = {}
    for start in (0, 3):
        view = View(4, places, starts=torch.tensor([start])).overlay()
        near = view(torch.tensor(0), torch.tensor(0), at[:, None], at[None])
        seen[start] = (near & (at[None] <= at[:, None])).int().tolist()
    assert seen[0] == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    assert seen[3] == [  # three columns of padding: chunks are 3 to 6, 7 to 10
        [1, 0, 0, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 1, 1],
    ]


def test_new_numbers_have_no_chunks():
    with (
        pytest.raises(UnsupportedModelError, match="numbers its survivors anew"),
        v2drop.dropping(model_of("sdpa"), "1:0.5", method="uniform:positions=renumbered"),
    ):
        pass


def test_text_alone_is_scaled_as_it_was():
    """Nothing is dropped, so nothing is multiplied: the numbers are the same to the last bit."""
    inputs, _ = CASE.batch([CASE.prompt(11, "", 1)])
    plain, tokens = decode(model_of("sdpa"), inputs, 2)
    hooked, *_ = dropped("sdpa", inputs, 2, tokens=tokens)
    assert all(torch.equal(a, b) for a, b in zip(plain, hooked, strict=True))
