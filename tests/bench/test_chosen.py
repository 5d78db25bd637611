"""Counts that a method chose itself are told, and taken from what happened."""

from __future__ import annotations

import torch

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.chosen import chosen_caveat, chosen_plan, counts_beyond, ignored_counts
from v2drop_cli.instrument.trace import DropEvent
from v2drop_cli.methods.registry import get_method
from v2drop_cli.schedule import DropPlan, Schedule


def event(layer, before, after):
    return DropEvent(layer, before, after, tuple(torch.arange(count) for count in after))


def test_the_counts_are_those_of_the_first_row():
    events = [event(1, (8, 6), (5, 2)), event(3, (5, 2), (3, 1))]
    assert chosen_plan(events, 8, 5).counts == (8, 5, 5, 3, 3)


def test_a_method_that_dropped_nothing_keeps_all():
    assert chosen_plan([], 8, 3).counts == (8, 8, 8)


def test_the_reader_is_told_by_which_method():
    found = chosen_caveat("threshold")
    assert found.code == "counts_by_method"
    assert "threshold" in found.message


def test_counts_that_mean_nothing_to_thresholds_are_said_to():
    def said(name, schedule):
        return ignored_counts(Arm("x", name, Schedule.parse(schedule)), get_method(name))

    [found] = said("mustdrop", "3:0.5")
    assert found.code == "counts_ignored"
    assert said("mustdrop", "0:1,3:100%") == ()
    assert said("sparsevlm", "3:0.5") == ()


def test_counts_of_more_tokens_than_there_are_are_said_drop_by_drop():
    def said(text, counts, name="fastv"):
        arm = Arm("x", name, Schedule.parse(text))
        return counts_beyond(arm, get_method(name), DropPlan(counts), 36)

    [found] = said("2:192t", (36,) * 4)
    assert found.code == "counts_beyond"
    assert "x: 2:192t is to keep 192 vision tokens, and only 36 are there" in found.message
    assert said("2:36t", (36,) * 4) == ()
    assert said("2:1.0", (36,) * 4) == ()
    [entry] = said("0:64t", (36,) * 4, "divprune")
    assert "only 36" in entry.message
    [later] = said("1:9t,3:10t", (36, 9, 9, 9))
    assert "3:10t is to keep 10 vision tokens, and only 9" in later.message
    assert len(said("1:40t,2:39t,3:30t", (36, 36, 36, 30))) == 2
    assert said("3:192t", (36,) * 4, "mustdrop") == ()  # its thresholds choose
    assert counts_beyond(Arm("dense"), get_method("fastv"), DropPlan((36,)), 36) == ()
