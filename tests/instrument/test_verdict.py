"""What a method may say, and what is refused before anything is removed."""

from __future__ import annotations

import pytest
import torch

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.verdict import ask
from v2drop_cli.methods.base import DropContext, Kept, Method

HIDDEN = torch.zeros(6, 2, dtype=torch.bfloat16)


class Saying(Method):
    """A method whose verdict is given."""

    name = "saying"
    paper = "none"


def verdict(kept, n_keep=2, n=4, hidden=HIDDEN):
    class Said(Saying):
        def select(self, ctx):
            return kept

    ctx = DropContext(layer=1, n_keep=n_keep, positions=torch.arange(n), seed=0, signals=None)
    return ask(Said(), ctx, hidden)


def index(*numbers, dtype=torch.int64):
    return torch.tensor(numbers, dtype=dtype)


@pytest.mark.parametrize("kept", [(0, 3), (3, 0), (1, 2)])
def test_tokens_come_in_ascending_order(kept):
    found = verdict(Kept(index(*kept)))
    assert found.index.tolist() == sorted(kept)
    assert found.merged is None


@pytest.mark.parametrize("kept", [(0, 3), (3, 0), (2, 1)])
def test_a_method_may_move_tokens(kept):
    merged = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    sources = index(-1, 0, 1, -1)
    found = verdict(Kept(index(*kept), merged, sources, in_order=True))
    assert found.in_order
    assert found.index.tolist() == list(kept)
    assert found.merged.tolist() == merged.tolist()
    assert found.sources.tolist() == sources.tolist()
    assert verdict(Kept(index(*kept), in_order=True)).index.tolist() == list(kept)


def test_a_moved_token_comes_once():
    with pytest.raises(InstrumentError, match="twice"):
        verdict(Kept(index(2, 2), in_order=True))


def test_merged_states_follow_their_tokens_in_the_models_dtype():
    merged = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = verdict(Kept(index(3, 0), merged))
    assert found.index.tolist() == [0, 3]
    assert found.merged.dtype == torch.bfloat16
    assert found.merged.tolist() == [[3, 4], [1, 2]]


@pytest.mark.parametrize(
    "kept",
    [
        index(0),
        index(0, 1, 2),
        index(0, 1, dtype=torch.int32),
        torch.tensor([0.0, 1.0]),
        torch.tensor([[0, 1]]),
        torch.tensor([[0, 1], [2, 3]]),
    ],
)
def test_another_number_or_kind_is_refused(kept):
    with pytest.raises(InstrumentError, match="asked were 2 of 4") as caught:
        verdict(Kept(kept))
    assert caught.value.hint


@pytest.mark.parametrize("kept", [(1, 1), (0, 4), (-1, 0), (4, 5)])
def test_tokens_that_are_there_twice_or_not_at_all_are_refused(kept):
    with pytest.raises(InstrumentError, match=r"\(of 4\)"):
        verdict(Kept(index(*kept)))


def test_the_first_and_the_last_token_are_there():
    assert verdict(Kept(index(0, 1, 2, 3)), n_keep=4).index.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (3, 2), (2,)])
def test_merged_states_of_another_shape_are_refused(shape):
    with pytest.raises(InstrumentError, match=r"merged into .*, not \(2, 2\)"):
        verdict(Kept(index(0, 1), torch.zeros(shape)))


@pytest.mark.parametrize("other", [None, index(0, 1), (index(0, 1), None)])
def test_what_is_no_verdict_is_refused(other):
    with pytest.raises(InstrumentError, match="not Kept"):
        verdict(other)


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ("index", Kept([0, 1])),
        ("index", Kept(None)),
        ("merged", Kept(index(0, 1), [[1.0, 2.0], [3.0, 4.0]])),
        ("sources", Kept(index(0, 1), torch.ones(2, 2), [0, 1, -1, -1])),
    ],
)
def test_what_is_no_tensor_is_refused_by_its_name(part, kept):
    with pytest.raises(InstrumentError, match=rf"Kept\.{part} as (list|NoneType)") as caught:
        verdict(kept)
    assert caught.value.hint


def scored(scores, hidden=HIDDEN):
    class Scores(Saying):
        def score(self, ctx):
            return scores

    ctx = DropContext(layer=1, n_keep=2, positions=torch.arange(4), seed=0, signals=None)
    return ask(Scores(), ctx, hidden)


@pytest.mark.parametrize(
    "scores",
    [[1.0, 2.0, 3.0, 4.0], None, torch.ones(3), torch.arange(5.0).flip(0), torch.ones(1, 4)],
)
def test_scores_of_another_shape_are_refused_also_where_the_best_would_be_there(scores):
    with pytest.raises(InstrumentError, match=r"score returned .* for 4 tokens") as caught:
        scored(scores)
    assert caught.value.hint


def test_nan_is_no_score_and_infinity_is_one():
    """A sort puts NaN first: such a token would be kept as the best."""
    low, nan = -torch.inf, torch.nan
    with pytest.raises(InstrumentError, match="NaN for 2 of 4 tokens") as caught:
        scored(torch.tensor([1.0, nan, 2.0, nan]))
    assert caught.value.hint
    assert scored(torch.tensor([low, 1.0, low, torch.inf])).index.tolist() == [1, 3]


def test_scores_are_read_only_where_reading_does_not_wait():
    there = torch.device("meta")
    found = scored(torch.ones(4, device=there), HIDDEN.to(there))
    assert found.index.device == there


class Choosing(Saying):
    """A method that finds its own number."""

    chooses_count = True


@pytest.mark.parametrize("kept", [(), (2,), (0, 1, 2, 3)])
def test_a_method_that_chooses_may_keep_any_number(kept):
    class Said(Choosing):
        def select(self, ctx):
            return Kept(index(*kept))

    ctx = DropContext(layer=1, n_keep=2, positions=torch.arange(4), seed=0, signals=None)
    assert ask(Said(), ctx, HIDDEN).index.tolist() == list(kept)


@pytest.mark.parametrize("kept", [(0, 1, 2, 3, 3), (1, 1)])
def test_a_method_that_chooses_keeps_no_more_than_there_are(kept):
    class Said(Choosing):
        def select(self, ctx):
            return Kept(index(*kept))

    ctx = DropContext(layer=1, n_keep=2, positions=torch.arange(4), seed=0, signals=None)
    with pytest.raises(InstrumentError, match=r"at most 4|\(of 4\)"):
        ask(Said(), ctx, HIDDEN)


MERGED = torch.ones(2, 2)


def test_sources_follow_their_tokens():
    """Tokens 3 and 0 stay; 1 goes into 0, the second entry, and 2 into 3, the first."""
    found = verdict(Kept(index(3, 0), MERGED, index(1, 1, 0, -1)))
    assert found.sources.tolist() == [0, 0, 1, -1]
    assert verdict(Kept(index(0, 3), MERGED, index(-1, -1, -1, -1))).sources.tolist() == [-1] * 4
    assert verdict(Kept(index(0, 3), MERGED)).sources is None


@pytest.mark.parametrize(
    "sources", [index(0, 1), index(0, 0, 1, 1, 1), index(0, 0, 1, 1, dtype=torch.int32)]
)
def test_sources_of_another_shape_or_kind_are_refused(sources):
    with pytest.raises(InstrumentError, match=r"not int64 \(4,\)") as caught:
        verdict(Kept(index(0, 3), MERGED, sources))
    assert caught.value.hint


@pytest.mark.parametrize("wrong", [-2, 2])
def test_sources_that_lead_to_no_survivor_are_refused(wrong):
    with pytest.raises(InstrumentError, match="does not stay") as caught:
        verdict(Kept(index(0, 3), MERGED, index(0, 0, 1, wrong)))
    assert caught.value.hint


def test_sources_without_merged_states_are_refused():
    with pytest.raises(InstrumentError, match="merged nothing") as caught:
        verdict(Kept(index(0, 3), None, index(0, 0, 1, 1)))
    assert caught.value.hint


@pytest.mark.parametrize(("kept", "sources"), [((2,), (0, -1, 0, 0)), ((3, 1, 0), (2, 1, 0, 0))])
def test_sources_for_any_number_of_survivors(kept, sources):
    order = sorted(range(len(kept)), key=kept.__getitem__)
    merged = torch.ones(len(kept), 2)
    found = verdict(Kept(index(*kept), merged, index(*sources)), n_keep=len(kept))
    assert found.sources.tolist() == [order.index(i) if i >= 0 else -1 for i in sources]


def test_values_are_read_only_where_reading_does_not_wait():
    """Tensors of the device "meta" have no values: reading one is an error."""
    there = torch.device("meta")
    kept = Kept(index(0, 3).to(there), MERGED.to(there), index(0, 0, 1, 1).to(there))
    found = verdict(kept, hidden=HIDDEN.to(there))
    assert {found.index.device, found.merged.device, found.sources.device} == {there}
