"""The pass that notes scores: what is kept is what ranked highest, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.families.loaded import case_passes, loaded_case
from tests.methods.toys import First
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.scored import ranks, watched
from v2drop_cli.schedule import Schedule


@pytest.fixture(scope="module")
def passes():
    return case_passes(loaded_case("llava"))


def arm(method):
    return Arm(method, method, Schedule.parse("2:0.5,4:0.25,5:0"))


@pytest.mark.parametrize("method", ["v2drop", "random"])
def test_what_ranks_highest_is_kept(passes, method):
    asked = arm(method)
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
