"""Counts that a method chose itself are told, and taken from what happened."""

from __future__ import annotations

import torch

from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.chosen import chosen_caveat, chosen_plan, ignored_counts
from v2drop_cli.instrument.trace import DropEvent
from v2drop_cli.methods.registry import get_method
from v2drop_cli.schedule import Schedule


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
