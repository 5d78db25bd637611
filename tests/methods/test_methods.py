"""Methods and their registry."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import v2drop_cli.methods
from v2drop_cli.errors import InstrumentError, UnknownNameError
from v2drop_cli.instrument.signals import RowSignals
from v2drop_cli.methods.base import HIDDEN, PREVIOUS_HIDDEN, DropContext, Method
from v2drop_cli.methods.registry import METHODS, get_method


def context(n=8, k=3, seed=0, layer=1, dtype=torch.float32, scale=1.0):
    draw = torch.Generator().manual_seed(5)
    before = torch.randn(n, 4, generator=draw).to(dtype)
    now = (before.float() + scale * torch.randn(n, 4, generator=draw)).to(dtype)
    return DropContext(layer, k, torch.arange(n), seed, RowSignals(now, before, torch.arange(n)))


def test_registry_and_folder_agree():
    folder = Path(v2drop_cli.methods.__file__).parent
    files = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r'^    name = "', path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {target.split(":")[0].rsplit(".", 1)[1] for target in METHODS.values()} == files


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_named_as_registered(name):
    assert get_method(name).name == name
    assert get_method(name).paper


# Methods that look further have tests of their own, with what they look at; vtw never keeps any,
# and metacompress has weights that fit one model.
PLAIN = [
    name
    for name in METHODS
    if get_method(name).needs <= {HIDDEN, PREVIOUS_HIDDEN} and name not in ("vtw", "metacompress")
]


@pytest.mark.parametrize("name", PLAIN)
def test_methods_that_look_at_hidden_states_alone_keep_k_in_order(name):
    method = get_method(name)
    for k in range(1, 8):
        kept = method.select(context(k=k)).index
        assert len(kept) == k
        assert kept.tolist() == sorted(set(kept.tolist()))
        assert kept[0] >= 0
        assert kept[-1] < 8


def test_scores_by_hand():
    now = torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    before = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    ctx = DropContext(1, 1, torch.arange(2), 0, RowSignals(now, before + 1e-9, torch.arange(2)))
    assert get_method("v2drop").score(ctx).tolist() == pytest.approx([5.0, 2.0])
    assert get_method("v2drop-l1").score(ctx).tolist() == pytest.approx([7.0, 2.0])
    assert get_method("v2drop-cosine").score(ctx)[1].item() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["v2drop", "v2drop-l1", "v2drop-cosine"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_are_float32_whatever_the_model(name, dtype):
    ctx = context(dtype=dtype, scale=0.01)
    exact = DropContext(
        1,
        3,
        ctx.positions,
        0,
        RowSignals(
            ctx.signals.entering.double(), ctx.signals.entered_before.double(), ctx.positions
        ),
    )
    got = get_method(name).score(ctx)
    assert got.dtype == torch.float32
    torch.testing.assert_close(
        got.double(), get_method(name).score(exact).double(), rtol=1e-3, atol=1e-5
    )


def test_random_is_seeded_by_seed_and_layer_only():
    pick = get_method("random")
    same = pick.select(context(40, 10, seed=1)).index
    assert torch.equal(same, pick.select(context(40, 10, seed=1)).index)
    assert not torch.equal(same, pick.select(context(40, 10, seed=2)).index)
    assert not torch.equal(same, pick.select(context(40, 10, seed=1, layer=2)).index)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    pick.select(context(40, 10))
    assert torch.equal(state, torch.random.get_rng_state())


@given(st.integers(1, 500), st.data())
def test_uniform_is_evenly_spaced(n, data):
    k = data.draw(st.integers(1, n))
    index = get_method("uniform").select(context(n, k)).index.tolist()
    assert len(set(index)) == k
    gaps = [b - a for a, b in itertools.pairwise(index)]
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_unknown_method():
    with pytest.raises(UnknownNameError) as caught:
        get_method("unifrom")
    assert "did you mean uniform" in caught.value.hint


def test_a_method_without_a_score_says_so():
    class Empty(Method):
        name, paper = "empty", "none"

    with pytest.raises(NotImplementedError, match="Empty"):
        Empty().select(context())


def test_a_signal_that_was_not_asked_for():
    signals = RowSignals(torch.zeros(2, 2), None, torch.arange(2))
    with pytest.raises(InstrumentError, match="needs"):
        signals.previous_hidden()
