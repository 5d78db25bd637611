"""Layers that attend to keys of an earlier one (Gemma 4 E2B); the matrix has the rest of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import ABSENT, CASES
from tests.matrix.test_flash import two_turns
from tests.matrix.truth import ROUGH, batch, model_of
from tests.release import CACHE
from v2drop_cli.errors import ScheduleError
from v2drop_cli.instrument.sharing import shared_call, whole_or_last
from v2drop_cli.methods.shape import Shape
from v2drop_cli.models.decoders import key_sources, last_droppable
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.oracle import masked, positions

NAME = "gemma4_shared"
pytestmark = pytest.mark.skipif(NAME in ABSENT, reason="this transformers lacks Gemma 4")
SOURCES = {4: 2, 5: 3}  # by hand, from the case: windows in 2 and 4, full layers 3 and 5
SCHEDULE = "1:0.5,2:0.5"
TOLERANCE = ROUGH["gemma4"]


def handed(mask, turns=True):
    """What layer 4 gets, which shares the keys of layer 2, of 5 columns and of the last of them."""
    tables = torch.arange(10.0).view(1, 5, 2), torch.arange(10.0, 20.0).view(1, 5, 2)
    call = SimpleNamespace(
        sources={4: 2, 5: 3},
        turns=lambda kwargs: turns and kwargs["position_embeddings"] is tables,
        gathered=lambda forward, kwargs: {"per_layer_input": kwargs["per_layer_input"] + 1},
    )
    source = {"attention_mask": mask, "position_ids": "theirs", "position_embeddings": tables}
    given = {"attention_mask": "own", "position_embeddings": "own", "per_layer_input": 3, "x": 1}
    forward = SimpleNamespace(handed={2: source}, columns=SimpleNamespace(width=5))
    for width in (5, 1):
        hidden = torch.zeros(1, width, 7)
        same, found = shared_call(call, forward, 4, hidden, given)
        assert same is hidden
        assert (found["x"], found["position_ids"]) == (1, "theirs")
        assert found["per_layer_input"] == (4 if width == 5 else 3)
        yield width, found, [table[:, -width:] for table in tables]
    forward.columns = None
    assert shared_call(call, forward, 4, torch.zeros(1, 5, 7), given)[1]["per_layer_input"] == 3
    assert shared_call(call, forward, 5, hidden, given) is None
    assert given["attention_mask"] == "own"


def test_a_layer_that_shares_gets_what_its_source_got():
    mask = torch.arange(40).view(1, 1, 5, 8)
    for width, found, tables in handed(mask):
        assert torch.equal(found["attention_mask"], mask[:, :, 5 - width :])
        assert isinstance(found["position_embeddings"], tuple)
        for got, wanted in zip(found["position_embeddings"], tables, strict=True):
            assert torch.equal(got, wanted)


@pytest.mark.parametrize("mask", [None, torch.ones(1, 8)])
def test_a_mask_that_tells_no_queries_apart_is_left_alone(mask):
    for _, found, _ in handed(mask, turns=False):
        assert found["attention_mask"] is mask
        assert found["position_embeddings"] == "own"


@pytest.mark.parametrize(("last", "goes_on"), [(0, None), (1, None), (2, 0), (5, 0), (None, None)])
def test_several_of_the_last_columns_are_taken_off_the_output(last, goes_on):
    sharing, plain = SimpleNamespace(sources={4: 2}), SimpleNamespace(sources={})
    arguments = {"a": 1, "logits_to_keep": last}
    found = whole_or_last(sharing, arguments)
    assert found == (None if goes_on is None else {"a": 1, "logits_to_keep": 0})
    assert whole_or_last(plain, arguments) is None
    assert whole_or_last(sharing, {"a": 1}) is None


@pytest.fixture
def widths():
    """How many columns entered the first layer that shares keys, and those before it."""
    model, found = model_of(NAME, "eager"), []

    def note(module, args):
        found.append(args[0].shape[1])

    handles = [layer.register_forward_pre_hook(note) for layer in CASES[NAME].layers(model)[3:5]]
    yield found
    for handle in handles:
        handle.remove()


def logits(model, shape="ragged", **more):
    inputs, _ = batch(NAME, shape)
    with torch.no_grad():
        return model(**inputs, position_ids=positions(model, inputs), **more).logits


def test_which_layers_share_is_read_off_the_configuration():
    config = model_of(NAME, "eager").config
    assert key_sources(config) == SOURCES
    assert last_droppable(config) == 2
    assert key_sources(model_of("gemma4", "eager").config) == {}
    assert last_droppable(model_of("gemma4", "eager").config) is None


@pytest.mark.parametrize("shape", ["image", "ragged"])
def test_a_prefill_for_the_last_logits_runs_sharing_layers_on_the_last_column(widths, shape):
    """In a ragged batch too: the last column of every row is its last token."""
    model = model_of(NAME, "eager")
    with v2drop.dropping(model, SCHEDULE, method="random"):
        whole = logits(model, shape)
        assert widths[0] == widths[1] < batch(NAME, shape)[0]["input_ids"].shape[1]
        last = logits(model, shape, logits_to_keep=1)
    assert widths[2:] == [widths[0], 1]
    torch.testing.assert_close(last[:, -1], whole[:, -1], **TOLERANCE)


@pytest.mark.parametrize("keep", [3, torch.tensor([-3, -2, -1])])
def test_several_last_logits_are_those_of_the_prompt(widths, keep):
    """All columns that are left go on: the last three of them may be others than the prompt's."""
    model = model_of(NAME, "eager")
    with v2drop.dropping(model, SCHEDULE, method="random"):
        whole = logits(model)
        last = logits(model, logits_to_keep=keep)
    assert widths[2] == widths[3]
    torch.testing.assert_close(last, whole[:, -3:], **TOLERANCE)


def test_without_a_drop_transformers_takes_its_short_cut(widths):
    """And the logits are the dense model's, bit for bit."""
    model = model_of(NAME, "eager")
    plain = logits(model, logits_to_keep=1)
    with v2drop.dropping(model, "1:1,2:1"):
        assert torch.equal(logits(model, logits_to_keep=1), plain)
    assert widths[1::2] == [1, 1]


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_a_second_picture_on_the_same_cache(attn):
    """Each turn's prompt is cut to its last column, behind what the first one left."""
    case, model = CASES[NAME], model_of(NAME, attn)
    first, columns = case.batch([case.prompt(3, "i", 1)])
    second, more = case.batch([case.prompt(2, "i", 2)])
    with v2drop.dropping(model, SCHEDULE, method="random", seed=1) as trace:
        got = two_turns(model, first, second)
    offset = first["input_ids"].shape[1]
    vision = [*columns[0], *(offset + column for column in more[0])]
    dropped = {}
    for layer in (1, 2):
        kept = {c for event in trace.events if event.layer == layer for c in event.kept[0]}
        dropped[layer] = [set(vision) - kept]
        vision = sorted(kept)
    padding = torch.ones(1, offset + second["input_ids"].shape[1], dtype=torch.long)
    with masked(case.layers(model), padding, dropped):
        wanted = two_turns(model, first, second)
    assert all(dropped[layer][0] for layer in (1, 2))
    torch.testing.assert_close(got, wanted, **TOLERANCE)


def test_layers_that_share_hold_no_cache():
    model = model_of(NAME, "eager")
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, SCHEDULE, method="random"):
        logits(model, **{CACHE: cache}, use_cache=True)
    assert [layer.keys is None for layer in cache.layers] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("schedule", ["3:0.5", "1:0.5,5:0"])
def test_a_drop_after_the_first_source_is_refused_by_name(schedule):
    with (
        pytest.raises(ScheduleError, match=r"after layer 2 .* use its keys") as refused,
        v2drop.dropping(model_of(NAME, "eager"), schedule),
    ):
        pass
    assert refused.value.hint == "drop at layers 0 to 2"


def test_presets_and_methods_fit_the_layers_that_can_drop():
    """As if the decoder ended there: 3, 17 and 22 of 32 are 1, 7 and 10 of E2B's 14."""
    family = family_for(model_of(NAME, "eager").config)
    e2b = Shape.of(family, 35, (0, 13), 256)
    assert [drop.layer for drop in e2b.preset("paper-192").drops] == [1, 7, 10]
    assert e2b.scaled((8, 16, 24)) == [4, 7, 10]
    found = e2b.solved(64)
    assert max(drop.layer for drop in found.drops) <= 13
    assert found.resolve(256, 35).layer_average == pytest.approx(64, abs=0.5)
    assert Shape.of(family, 35, (0, None)).depth == 35
