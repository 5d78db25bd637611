"""Who is told how far a measurement is: nobody, unless someone asks."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from v2drop_cli.bench.watch import Phase, Progress, Watch


def test_nobody_watches_unless_asked():
    watch = Watch()
    watch.on_progress(Progress(Phase.ROUNDS))
    watch.check()
    watch.tell("a word")
    assert watch.on_round is None


def test_progress_that_says_only_its_phase():
    found = Progress(Phase.LOADING)
    assert (found.phase, found.done, found.of, found.at_least) == ("loading", 0, None, False)
    assert (found.part, found.left_s, found.what) == (0.0, None, "")


@pytest.mark.parametrize("value", [Progress(Phase.STARTING), Watch()])
def test_what_is_told_cannot_be_changed(value):
    with pytest.raises(FrozenInstanceError):
        setattr(value, "done" if isinstance(value, Progress) else "check", 1)


def test_phases_are_listed_in_the_order_in_which_they_come():
    profiled = "starting", "loading", "idle power", "answers", "memory", "warm-up", "rounds"
    assert [phase for phase in Phase if phase in profiled] == list(profiled)
