"""The pass that notes scores: what is kept is what ranked highest, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.families.loaded import case_passes, loaded_case
from tests.methods.toys import First
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.scored import ranks, watched
from v2drop_cli.schedule import Schedule


class Scored(First):
    """Finds the scores where it looks."""

    def score(self, ctx):
        return ctx.scores


def noted(*calls):
    """What is noted of a method that is asked for these scores of tokens 7, 8 …, by layer."""
    seen = {}
    noting = watched(Scored(), seen)
    for layer, *scores in calls:
        ctx = SimpleNamespace(layer=layer, scores=torch.tensor(scores))
        ctx.positions = torch.arange(7, 7 + len(scores))
        assert noting.score(ctx) is ctx.scores
    return seen


def test_scores_are_noted_as_ranks_from_0_to_1():
    assert noted((2, 0.5, -900.0, 0.5, 0.25)) == {2: {7: 1.0, 8: 0.0, 9: 1.0, 10: 0.5}}
    assert noted((2, 4.0), (3, 1.0, 1.0)) == {2: {7: 0.0}, 3: {7: 0.0, 8: 0.0}}


def test_of_several_rows_the_first_is_noted():
    assert noted((2, 1.0, 2.0), (2, 2.0, 1.0), (3, 1.0)) == {2: {7: 0.0, 8: 1.0}, 3: {7: 0.0}}


def test_every_token_has_a_score():
    ctx = SimpleNamespace(layer=2, scores=torch.ones(2), positions=torch.arange(3))
    with pytest.raises(ValueError, match="shorter"):
        watched(Scored(), {}).score(ctx)


@pytest.fixture(scope="module")
def passes():
    return case_passes(loaded_case("llava"))


def arm(method):
    return Arm(method, method, Schedule.parse("2:0.5,4:0.25,5:0"))


@pytest.mark.parametrize(("method", "seed"), [("v2drop", 0), ("random", 0), ("random", 1)])
def test_what_ranks_highest_is_kept(passes, method, seed):
    asked = replace(arm(method), seed=seed)
    found = ranks(passes.loaded, passes.inputs, asked)
    drops = passes.answer(asked, 2).drops
    assert list(found) == [2, 4]  # the last drop leaves no choice
    for drop in drops[:2]:
        kept, thought = set(drop.kept[0]), found[drop.layer]
        assert len(thought) == drop.before
        assert min(thought[at] for at in kept) > max(thought[at] for at in thought.keys() - kept)
        assert (min(thought.values()), max(thought.values())) == (0.0, 1.0)


def test_methods_that_do_not_score_have_no_ranks(passes):
    assert ranks(passes.loaded, passes.inputs, arm("uniform")) == {}
    assert ranks(passes.loaded, passes.inputs, replace(arm("v2drop"), method=None)) == {}
    assert ranks(passes.loaded, passes.inputs, replace(arm("v2drop"), schedule=None)) == {}


def test_a_watched_method_is_the_same_but_for_what_it_notes():
    seen = {}
    method = First(start=1)
    noting = watched(method, seen)
    assert isinstance(noting, First)
    assert type(method) is First
    assert noting.start == 1

    class Context:
        layer, positions, n_keep = 3, torch.tensor([7, 8, 9]), 1

    assert noting.select(Context).index.tolist() == method.select(Context).index.tolist() == [1]
    assert seen == {3: {7: 0.0, 8: 1.0, 9: 0.0}}
