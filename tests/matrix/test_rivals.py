"""Every method that selects, in every family: physical dropping gives what the masked oracle gives.

`test_matrix.py` does this for `v2drop` and `random` in depth; here is one small batch and a small
schedule for each of the others, with original positions, because an oracle drops nothing and so
cannot number anything anew. What they keep is held against their definitions in `tests/methods`.
"""

from __future__ import annotations

import functools

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES, NAMES
from tests.instrument.test_dropping import hook_tables
from tests.matrix.test_matrix import TOLERANCE, model_of
from v2drop_cli.errors import ScheduleError, UnsupportedModelError
from v2drop_cli.methods.base import CLASS_TOKEN
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases.case import schedule_text
from v2drop_cli.prove.oracle import decode, masked

STEPS = 2
# Merged tokens have values that no token of the dense model has.
MERGES = frozenset({"mustdrop", "metacompress"})
# Tested in depth; or the same code with another distance.
ELSEWHERE = frozenset({"v2drop", "v2drop-l1", "v2drop-cosine", "random"})
SELECTING = sorted(set(METHODS) - ELSEWHERE - MERGES)
# These only select if no token takes in others.
SETTINGS = {"visionzip": ",contextual=0", "sparsevlm": ",merge=false"}
# Families in which a method is refused, because what it looks at is not known there.
REFUSED: dict[str, frozenset[str]] = {
    method: frozenset(NAMES)
    - {"llava", "llava_next", "vipllava"}  # the towers that have a class token
    for method in METHODS
    if CLASS_TOKEN in get_method(method).needs
}
# Some take no video, some show its frames as pictures, Video-LLaVA's have class tokens, and
# PerceptionLM's call does not tell how images were cut, nor then anything of a video.
REFUSED["evs"] = frozenset(NAMES) - {
    "qwen2_vl",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen3_vl_moe",
    "llava_onevision",
    "llava_next_video",
    "hyperclovax_vision_v2",
    "exaone4_5",
}
# Nobody has shown how rows of their decoders' attention are made again.
NO_ROWS = frozenset({
    "llama4", "cohere2_vision", "aya_vision", "exaone4_5", "muse_glimmer",
})  # fmt: skip
for method in ("dart", "fastv", "pyramiddrop", "sparsevlm"):
    REFUSED[method] = REFUSED.get(method, frozenset()) | NO_ROWS


@functools.cache
def prepared(name, shape):
    """One batch of a family, and what the dense model makes of it."""
    case, model = CASES[name], model_of(name, "sdpa")
    inputs, vision = case.batch(case.prompts(shape))
    return case, model, inputs, vision, *decode(model, inputs, STEPS)


def own_schedule(method, case, model):
    """The method's own drops, in a model of this family."""
    family = family_for(model.config)
    first = family.first_droppable_layer(model.config)
    return method.schedule(None, Shape.of(family, len(case.layers(model)), first))


def schedule_for(own, case):
    """The case's drops; or the decoder's input, or all at once, where the method's own does so."""
    if own.drops[0].layer == 0:
        return "0:0.5"
    return str(own) if own.drops[0].count == 0 else schedule_text(case.drops)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", SELECTING)
def test_a_rival_equals_the_masked_oracle_or_is_refused_by_name(method, name):
    shape = "video" if method == "evs" and CASES[name].video else "ragged"
    case, model, inputs, vision, dense, tokens = prepared(name, shape)
    own, before = own_schedule(get_method(method), case, model), hook_tables(model)
    no_entry = own.drops[0].layer == 0 and case.entry is None
    refused = no_entry or name in REFUSED.get(method, ())
    try:
        text = f"{method}:positions=original{SETTINGS.get(method, '')}"
        with v2drop.dropping(model, schedule_for(own, case), method=text) as trace:
            got, _ = decode(model, inputs, STEPS, tokens)
    except (UnsupportedModelError, ScheduleError) as error:
        assert error.hint
        assert refused, error
        return
    finally:
        assert hook_tables(model) == before
    assert not refused
    dropped = gone_at(trace, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, STEPS), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted, _ = decode(model, inputs, STEPS, tokens)
    survivors = inputs["attention_mask"].bool().clone()
    for rows in dropped.values():
        for b, gone in enumerate(rows):
            survivors[b, list(gone)] = False
    torch.testing.assert_close(got[0][survivors], wanted[0][survivors], **TOLERANCE)
    for a, b in zip(got[1:], wanted[1:], strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
    assert (dense[-1] - wanted[-1]).abs().max() > 1e-3  # else the masks prove nothing


def gone_at(trace, vision):
    """Per drop layer and row, the vision tokens that go there."""
    dropped, alive = {}, vision
    for event in trace.events:
        assert event.sources is None
        stays = [list(row) for row in event.kept]
        assert all(set(row) <= set(tokens) for row, tokens in zip(stays, alive, strict=True))
        dropped[event.layer] = [set(t) - set(row) for t, row in zip(alive, stays, strict=True)]
        alive = stays
    assert any(gone for rows in dropped.values() for gone in rows)
    return dropped
