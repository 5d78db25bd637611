"""What is tried next depends on the seed and on what was tried, and on nothing else."""

from __future__ import annotations

import sys

import pytest

from v2drop_cli.errors import MissingPackageError, UnknownNameError
from v2drop_cli.tuning.samplers import STARTUP, Tried, sampler_of
from v2drop_cli.tuning.space import Space

SPACE = Space(12, {"v2drop": tuple(range(1, 12)), "random": tuple(range(12))}, 1 / 3)


def badness(drawn):
    """Best: v2drop, two drops, the first one at layer 2 and the larger one."""
    off = (drawn["layer0"] - 0.5) ** 2 + (drawn["part0"] - 0.9) ** 2
    return off + 0.3 * (drawn["method"] != "v2drop") + 0.1 * abs(drawn["drops"] - 2)


def found(sampler, seed, trials=40):
    history = []
    for number in range(trials):
        drawn = sampler(SPACE, f"{seed}/{number}/0", history)
        history.append(Tried(drawn, badness(drawn)))
    return history


def test_tpe_finds_better_than_chance_in_as_many_trials():
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    by_chance = [min(t.value for t in found(sampler_of("random"), seed)) for seed in range(3)]
    by_tpe = [min(t.value for t in found(sampler_of("tpe"), seed)) for seed in range(3)]
    assert sum(by_tpe) < sum(by_chance)


def test_the_next_trial_is_the_same_whoever_asks():
    pytest.importorskip("optuna", reason="needs optuna: pip install optuna")
    sampler = sampler_of("tpe")
    history = found(sampler, 0, STARTUP + 2)
    again = sampler(SPACE, f"0/{STARTUP + 1}/0", history[:-1])
    assert again == history[-1].parameters
    assert sampler(SPACE, f"1/{STARTUP + 1}/0", history[:-1]) != again
    assert list(again) == list(SPACE.choices)


def test_chance_knows_no_history():
    sampler = sampler_of("random")
    assert sampler(SPACE, "0/1/0", []) == sampler(SPACE, "0/1/0", found(sampler, 0, 5))


def test_what_is_not_here_is_told(monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown sampler 'cma'"):
        sampler_of("cma")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match="needs optuna") as caught:
        sampler_of("tpe")
    assert "--sampler random" in caught.value.hint
    sampler_of("random")
