"""Every method that selects, in every family: physical dropping gives what the masked oracle gives.

`test_matrix.py` does this for `v2drop` and `random` in depth; here is one small batch and a small
schedule for each of the others, with original positions, because an oracle drops nothing and so
cannot number anything anew. What they keep is held against their definitions in `tests/methods`.
"""

from __future__ import annotations

import functools

import pytest

from tests.families import CASES, NAMES
from tests.instrument.test_dropping import hook_tables
from tests.matrix.test_matrix import dropped_in
from tests.matrix.truth import attends, batch, check, gone, model_of
from v2drop_cli.errors import ScheduleError, UnsupportedModelError
from v2drop_cli.methods.base import ATTENTION, CLASS_TOKEN, KEYS
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases.case import schedule_text
from v2drop_cli.prove.oracle import decode

pytestmark = pytest.mark.no_cover

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
    "qwen2_5_omni",
    "qwen3_omni_moe",
    "cohere_compass",
    "exaone4_5",
    "dots3_note",
}
# Nobody has shown how rows of their decoders' attention are made again.
NO_ROWS = frozenset({
    "llama4", "cohere2_vision", "aya_vision", "exaone4_5", "muse_glimmer", "muse_spark", "kimi_k25",
    "gemma4", "gemma4_unified", "dots3_note", "qwen4_exp", "gemma3n", "mistral_large4", "glm5_next",
    "phi4_multimodal",
})  # fmt: skip
for method in ("dart", "fastv", "pyramiddrop", "sparsevlm"):
    REFUSED[method] = REFUSED.get(method, frozenset()) | NO_ROWS


def own_schedule(method, case, model):
    """The method's own drops, in a model of this family."""
    family = family_for(model.config)
    droppable = family.droppable(model.config)
    return method.schedule(None, Shape.of(family, len(case.layers(model)), droppable))


def schedule_for(own, case):
    """The case's drops; or the decoder's input, or all at once, where the method's own does so."""
    if own.drops[0].layer == 0:
        return "0:0.5"
    return str(own) if own.drops[0].count == 0 else schedule_text(case.drops)


@functools.cache
def settled(name, shape, attn="sdpa"):
    """The model after a run: transformers puts hooks of its own on it during the first."""
    model = model_of(name, attn)
    decode(model, batch(name, shape)[0], 0)
    return model


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", SELECTING)
def test_a_rival_equals_the_masked_oracle_or_is_refused_by_name(method, name):
    shape = "video" if method == "evs" and CASES[name].video else "ragged"
    case, model, vision = CASES[name], settled(name, shape), batch(name, shape)[1]
    own, before = own_schedule(get_method(method), case, model), hook_tables(model)
    no_entry = own.drops[0].layer == 0 and case.entry is None
    refused = no_entry or name in REFUSED.get(method, ()) or looks_at_a_state(method, case, model)
    try:
        text = f"{method}:positions=original{SETTINGS.get(method, '')}"
        got, trace = dropped_in(model, name, shape, schedule_for(own, case), text, STEPS)
    except (UnsupportedModelError, ScheduleError) as error:
        assert error.hint
        assert refused, error
        return
    finally:
        assert hook_tables(model) == before
    assert not refused
    assert all(event.sources is None for event in trace.events)
    dropped = gone(trace.events, vision)
    assert any(columns for rows in dropped.values() for columns in rows)
    try:
        check(name, shape, dropped, got, STEPS)
    except AssertionError:
        # Where a router chooses between two experts by a hair, sdpa's rounding chooses the other
        # one on some CPUs. The truth is eager's: beside that itself nothing may differ.
        if not routes(model):
            raise
        eager = settled(name, shape, "eager")
        got, trace = dropped_in(eager, name, shape, schedule_for(own, case), text, STEPS)
        check(name, shape, gone(trace.events, vision), got, STEPS)


def routes(model):
    """Whether tokens are sent to some of several experts."""
    return any(part.endswith(".experts") for part, _ in model.named_modules())


def looks_at_a_state(method, case, model):
    """Whether the method wants attention or keys of a layer that does not attend.

    The case's drops are at such a layer, or right behind one.
    """
    states = {i for i, layer in enumerate(case.layers(model)) if not attends(layer)}
    near = {layer - back for layer, _ in case.drops for back in (0, 1)}
    return bool(states & near and get_method(method).needs & {ATTENTION, KEYS})
