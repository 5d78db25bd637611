"""How tokens moved before a drop, against plain Python on hidden states that hooks recorded."""

from __future__ import annotations

import math

import pytest
import torch

import v2drop_cli as v2drop
from tests.families.loaded import case_passes, loaded_case
from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.explain import gini, is_explained, movement, movements
from v2drop_cli.commands.profile import ProfileOptions
from v2drop_cli.errors import UsageError
from v2drop_cli.instrument.signals import RowSignals
from v2drop_cli.methods.base import DropContext
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.schedule import Schedule

SCHEDULE = "2:0.5,4:0.3,5:0"


def entering(loaded, inputs, schedule):
    """Per decoder layer, its input in a dropping prefill, and where its vision tokens are."""
    seen, handles = {}, []
    layers = loaded.family.layers(loaded.model)
    tensors = inputs.to(loaded.device, loaded.dtype).tensors
    with v2drop.dropping(loaded.model, schedule) as trace:
        for at, layer in enumerate(layers):
            handles.append(
                layer.register_forward_pre_hook(
                    lambda m, args, at=at: seen.update({at: args[0][0].tolist()})
                )
            )
        with torch.no_grad():
            loaded.model(**tensors)
    for handle in handles:
        handle.remove()
    return seen, trace


def by_hand(before, after):
    """The two numbers for updates ``after - before``, one list a token, in plain Python."""
    moved = [[a - b for a, b in zip(x, y, strict=True)] for x, y in zip(after, before, strict=True)]
    lengths = [math.sqrt(sum(v * v for v in one)) for one in moved]
    mean = [sum(column) / len(moved) for column in zip(*moved, strict=True)]
    shared = math.sqrt(sum(v * v for v in mean)) / (sum(lengths) / len(lengths))
    apart = sum(abs(a - b) for a in lengths for b in lengths) / len(lengths) ** 2
    return shared, apart / (2 * sum(lengths) / len(lengths))


def test_the_numbers_are_those_of_plain_python_at_every_drop():
    loaded = loaded_case("llava")
    passes = case_passes(loaded, rows=2)
    found = movements(loaded, passes.inputs, Arm("v2drop", "v2drop", Schedule.parse(SCHEDULE)))
    tokens = passes.inputs.vision.index[0].tolist()
    assert [(one.layer, one.tokens) for one in found] == [
        (2, len(tokens)), (4, len(tokens) // 2), (5, int(len(tokens) // 2 * 0.3)),
    ]  # fmt: skip
    # Without the drop under test, the layer's input still has the tokens that it chooses among.
    for one, earlier in zip(found, (None, "2:0.5", "2:0.5,4:0.3"), strict=True):
        seen, trace = entering(loaded, passes.inputs, earlier or "5:0")
        alive = tokens if earlier is None else list(trace.events[-1].kept[0])
        kept = set(alive)
        width = len(passes.inputs.tensors["input_ids"][0])
        columns = [at for at in range(width) if at not in tokens or at in kept]
        places = [columns.index(at) for at in alive]
        before, after = ([seen[at][place] for place in places] for at in (one.layer - 1, one.layer))
        shared, spread = by_hand(before, after)
        assert one.shared_update == pytest.approx(shared, abs=1e-5)
        assert one.score_gini == pytest.approx(spread, abs=1e-5)


def test_one_prefill_is_all_that_it_takes():
    loaded = loaded_case("llava")
    passes, lengths = case_passes(loaded), []
    handle = loaded.family.decoder(loaded.model).register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["inputs_embeds"].shape[1]),
        with_kwargs=True,
    )
    assert movements(loaded, passes.inputs, Arm("v2drop", "v2drop", Schedule.parse(SCHEDULE)))
    handle.remove()
    assert lengths == [passes.inputs.tensors["input_ids"].shape[1]]


@pytest.mark.parametrize(
    ("moved", "shared"),
    [
        ([[0.0, 0.0], [0.0, 0.0]], None),  # of nothing there is no share
        ([[0.3, 0.0], [0.3, 0.0]], 1.0),
        ([[0.0, 0.2], [0.2, 0.0]], 0.5**0.5),
        ([[-4.0, 0.0], [4.0, 0.0]], 0.0),
    ],
)
def test_how_much_of_the_updates_is_shared(moved, shared):
    after = torch.tensor(moved)
    signals = RowSignals(after, torch.zeros_like(after), torch.arange(2))
    found = movement(DropContext(3, 1, torch.arange(2), 0, signals), torch.ones(2))
    assert (found.layer, found.tokens, found.score_gini) == (3, 2, 0.0)
    assert found.shared_update == (None if shared is None else pytest.approx(shared, abs=1e-6))


def test_watching_changes_nothing_and_leaves_nothing():
    loaded = loaded_case("llava")
    passes = case_passes(loaded)
    arm = Arm("v2drop", "v2drop", Schedule.parse(SCHEDULE))
    before = passes.answer(arm, 3)
    assert movements(loaded, passes.inputs, arm)
    assert passes.answer(arm, 3) == before
    assert not any(module._forward_pre_hooks for module in loaded.model.modules())


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([3.0, 3.0, 3.0], 0.0),
        ([5.0], 0.0),
        ([0.0, 1.0], 0.5),
        ([1.0, 2.0, 3.0], 2 / 9),
        ([-1e-9, 0.0], None),
        ([0.0, 0.0], None),
    ],
)
def test_gini(scores, expected):
    found = gini(torch.tensor(scores))
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_dense_and_methods_that_look_at_more_or_less_have_none():
    loaded = loaded_case("llava")
    passes = case_passes(loaded)
    assert movements(loaded, passes.inputs, Arm("dense")) == ()
    assert movements(loaded, passes.inputs, Arm("u", "uniform", Schedule.parse("2:0.5"))) == ()
    assert movements(loaded, passes.inputs, Arm("v2drop", "v2drop")) == ()
    explained = {name for name in METHODS if is_explained(get_method(name))}
    assert not is_explained(get_method("random+v2drop"))
    assert {"v2drop", "v2drop-l1", "v2drop-cosine"} <= explained
    assert not explained & {"random", "uniform", "sparsevlm", "mustdrop"}  # the last two see more


def test_to_explain_what_nobody_does_is_refused_before_a_model_is_loaded():
    with pytest.raises(UsageError) as caught:
        ProfileOptions("why?", "tiny", ArmOptions(methods=("uniform",)), explain=True)
    assert "--method v2drop" in caught.value.hint
    for methods in (("uniform", "v2drop"), ("all",)):
        assert ProfileOptions("why?", "tiny", ArmOptions(methods=methods), explain=True).explain
