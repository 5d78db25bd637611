"""The A/A study and the simulation, shortened: noise is known and seeded, so counts are exact."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import aa_study, coverage
from benchmarks.aa_study import AGAIN, SLOWDOWN, DenseAgain, Study, slowed
from tests.checkpoints import save_checkpoint
from v2drop_cli import load
from v2drop_cli.bench import passes
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.commands.profile import StopRule
from v2drop_cli.measure.clock import FakeClock
from v2drop_cli.media import load_image

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    loaded = load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")
    return Study(loaded, [load_image(CAT)], profiles=2, stop=StopRule(10, 0.02, 600.0))


@pytest.fixture
def noisy(monkeypatch):
    """Trials on a fake clock: 10 ms with 1 % of noise, and 5 % more for the slowed arm."""
    draw = random.Random(7)

    def time(self, arm, clock, new_tokens):
        factor = 1 + (arm.share if arm.label == AGAIN else 0)
        lasted = 0.010 * factor * math.exp(draw.gauss(0, 0.01))
        clock = FakeClock([0.0, 0.002, 0.002 + lasted, 0.004 + lasted])
        clock.start()
        for mark in ("start", "decoder", "first token", "end"):
            clock.mark(mark)
        marks = clock.finish()
        prefill, rest = marks.between("decoder", "first token"), marks.between("first token", "end")
        return StageTimes(0.001, 0.002, prefill, rest, marks.wall_s, marks.wall_s)

    monkeypatch.setattr(passes.Passes, "time", time)


def test_profiles_see_nothing_in_nothing_and_every_slowdown(study, noisy):
    verdicts = {0.0: Counter(), SLOWDOWN: Counter()}
    for item in study.run():
        found = item["metrics"]["prefill"]
        verdicts[item["injected_slowdown"]][found["verdict"]] += 1
        assert item["stopped_by"] == "precision"
        assert item["rounds"] == len(item["prefill_s"]["null"]) >= 10
        if item["injected_slowdown"]:
            assert found["ratio"]["median"] == pytest.approx(1 / 1.05, abs=0.02)
    assert verdicts[0.0] == {"within noise": 2}
    assert verdicts[SLOWDOWN] == {"slower": 2}


def test_the_hook_makes_the_decoder_slower_by_its_share_and_leaves(study, monkeypatch):
    ticks = iter([0.0, 10.0, *[10.1, 10.4, 10.5, 10.6]])
    monkeypatch.setattr(aa_study.time, "perf_counter", lambda: next(ticks))
    decoder = study.loaded.family.decoder(study.loaded.model)
    inputs = study.loaded.prepare(study.media, "what?").tensors
    with slowed(study.loaded, 0.05):
        study.loaded.model(**inputs)
    assert next(ticks) == 10.6  # waited until 5 % of 10 s had passed
    assert not decoder._forward_pre_hooks
    assert not decoder._forward_hooks
    with DenseAgain(AGAIN).applied(study.loaded):
        assert not decoder._forward_pre_hooks


@pytest.mark.parametrize("name", coverage.NOISES)
def test_simulated_noise_is_about_one(name):
    times = coverage.trials(coverage.NOISES[name], 400, 0.05, seed=3)
    dense, null, arm = (sorted(series)[200] for series in times)
    assert null / dense == pytest.approx(1, abs=0.02)
    assert arm / dense == pytest.approx(1.05, abs=0.02)


def test_intervals_miss_the_truth_about_as_rarely_as_they_say():
    assert 0.02 <= coverage.misses(coverage.NOISES["normal, 1 %"], 10, 100) <= 0.10


@pytest.mark.slow
def test_twenty_profiles_claim_nothing_of_equals_and_twenty_find_a_slowdown():
    found = coverage.profiles(coverage.NOISES["normal, 1 %"], 20, most=25)
    assert found["false_claims"] == 0
    assert found["detected"] == 20
    assert found["median_rounds"] >= 10


def test_a_simulated_profile_ends_when_time_is_over():
    loud = coverage.normal(0.2)
    assert coverage.simulate(loud, 0.05, seed=1, most=12) == coverage.Outcome(12, "within noise")
