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
    with pytest.raises(InstrumentError, match="merged into"):
        verdict(Kept(index(0, 1), torch.zeros(shape)))


@pytest.mark.parametrize("other", [None, index(0, 1), (index(0, 1), None)])
def test_what_is_no_verdict_is_refused(other):
    with pytest.raises(InstrumentError, match="not Kept"):
        verdict(other)
