"""Rows that contain each other add up: in a real trial, and in the reports that tests print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkpoints import save_checkpoint
from tests.report import factory
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject, timing_of
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.measure.clock import CpuClock
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.records import Timing
from v2drop_cli.records.metrics import METRICS, Metric
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
TOKENS = 4
SUMS = [row for row in METRICS if row.adds_up]


def sum_of_parts(row: Metric, timing: Timing, tokens: int) -> float:
    """The parts of `row`; the time per token as often as it was spent."""
    parts = 0.0
    for part in (item for item in METRICS if item.name in row.adds_up):
        stats = getattr(timing, part.field)
        parts += stats.median * (tokens - 1 if part.name == "decode" else 1)
    return parts


@pytest.fixture(scope="module")
def trials(tmp_path_factory) -> list[Timing]:
    """One trial each of dense and of dropping, with media decoded in 0.25 s."""
    loaded = load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")
    passes = Passes(Subject(loaded, [load_image(CAT)], "what?"), Nvml(loaded.device))
    arms = (Arm("dense"), Arm("v2drop", "v2drop", Schedule.parse("1:0.5,3:0.3")))
    found: list[StageTimes] = [passes.time(arm, CpuClock(), TOKENS) for arm in arms]
    return [timing_of([replace(times, media_s=0.25)]) for times in found]


@pytest.mark.parametrize("row", SUMS, ids=lambda row: row.name)
def test_a_trial_adds_up(trials, row):
    for timing in trials:
        whole = getattr(timing, row.field).median
        assert whole == pytest.approx(sum_of_parts(row, timing, TOKENS), rel=1e-9)


@pytest.mark.parametrize("row", SUMS, ids=lambda row: row.name)
def test_the_reports_of_the_tests_add_up(row):
    report = factory.profiled()
    for arm in report.arms:
        whole = row.samples(arm).median
        expected = sum_of_parts(row, arm.timing, report.request.timed_new_tokens)
        assert whole == pytest.approx(expected, rel=1e-6)


def test_parts_are_within_their_row(trials):
    for timing in trials:
        for row in METRICS:
            part = getattr(timing, row.field) if row.part_of else None
            if part is not None:
                [whole] = [item for item in METRICS if item.name == row.part_of]
                assert 0 <= part.median <= getattr(timing, whole.field).median


def test_the_end_contains_everything_and_the_first_token_begins_before_generate():
    by_name = {row.name: row for row in METRICS}

    def all_of(name):
        return {name}.union(*(all_of(part) for part in by_name[name].adds_up))

    assert all_of("end_to_end") >= {"media", "preprocess", "wall"}
    assert "preprocess" in all_of("first_token")
    assert "preprocess" not in all_of("generate")
    assert "total" not in {row.label for row in METRICS}
