"""What `sweep` does, with clocks that are told the time and devices that are told to be full."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from tests.bench.growing import frames, rows, small
from v2drop_cli.bench import passes as passes_module
from v2drop_cli.bench import rounds as rounds_module
from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.bench.capacity import Room
from v2drop_cli.bench.sizes import Growing
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.bench.stopping import StopRule
from v2drop_cli.bench.watch import Phase, Watch
from v2drop_cli.commands import sweep as module
from v2drop_cli.commands.profile import ProfileOptions
from v2drop_cli.commands.sweep import SweepOptions, sweep
from v2drop_cli.errors import ScheduleError
from v2drop_cli.records import Memory
from v2drop_cli.records.curves import (
    BATCH_SIZE,
    ENDED,
    FRAMES,
    MEASURED,
    OUT_OF_MEMORY,
    OVER_LIMIT,
    ROWS,
    VISION_TOKENS,
)
from v2drop_cli.records.verdicts import FASTER, MORE

FEATURES = 36  # vision tokens of a frame


@pytest.fixture(scope="module")
def loaded():
    return small()


def options(growing=None, methods=("v2drop",), schedules=("1:0.5",), **changes):
    arms = ArmOptions(ScheduleOptions(schedules=schedules), methods)
    each = ProfileOptions("", "small", arms, StopRule(5, 0.01, 0.0), False, 2, 2, 0)
    growing = growing or Growing(FRAMES, (1, 2, 4), frames, 4)
    return SweepOptions(replace(each, **changes), growing)


@pytest.fixture
def told(monkeypatch):
    """Dense prefills in tokens squared, an arm in tokens; a batch costs half a second a row."""

    def time(self, arm, clock, new_tokens):
        tokens, rows = self.vision_tokens / FEATURES, self.subject.batch_size
        prefill = tokens**2 if arm.method is None else tokens / 2
        wall = prefill + rows / 2
        return StageTimes(None, 0.25, prefill, 0.125 * rows, wall, wall)

    monkeypatch.setattr(passes_module.Passes, "time", time)
    monkeypatch.setattr(rounds_module, "median_interval", lambda *samples, **options: None)


@pytest.fixture
def full(monkeypatch):
    """A device that has no room for an arm from so many vision tokens on; `answer` has more."""
    room = {}

    @contextmanager
    def as_on_a_gpu(device, asked):
        yield Room(device, 10**9, False, predicts=False)

    monkeypatch.setattr(module, "limited", as_on_a_gpu)

    def memory(self, arm, new_tokens):
        if self.vision_tokens >= room.get(arm.method, 10**9):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB. Sorry.")
        return Memory(weights_bytes=10, peak_allocated_bytes=10 + self.vision_tokens)

    monkeypatch.setattr(passes_module.Passes, "memory", memory)
    return room


def outcomes(curve):
    return [point.outcome for point in curve.points]


def test_a_sweep_is_exact(loaded, told, full):
    found = sweep(loaded, options())
    assert (found.dimension, found.sizes, found.axis) == (FRAMES, (1, 2, 4), VISION_TOKENS)
    assert (found.stopped_by, found.partial, found.throughput) == ("sizes", False, ())
    dense, arm = found.curves
    assert (dense.label, dense.method, arm.label, arm.method) == (
        "dense", None, "v2drop 1:0.5", "v2drop",
    )  # fmt: skip
    assert [point.vision_tokens for point in dense.points] == [36, 72, 144]
    assert [point.prompt_tokens for point in dense.points] == [41, 77, 149]
    assert [point.prefill for point in dense.points] == [1.0, 4.0, 16.0]
    assert [point.tokens_per_s for point in arm.points] == [8.0, 8.0, 8.0]
    assert dense.growth.prefill_time.exponent == pytest.approx(2.0)
    assert arm.growth.prefill_time.exponent == pytest.approx(1.0)
    assert 0 < dense.growth.peak_memory.exponent < 1
    assert dense.growth.prefill_flops.exponent > arm.growth.prefill_flops.exponent > 1.0
    gains = [point.comparison.prefill_speedup.median for point in arm.points]
    assert gains == [2.0, 4.0, 8.0]
    said = {point.comparison.verdict("prefill_speedup").verdict for point in arm.points}
    assert said == {FASTER}
    assert all(point.comparison is None for point in dense.points)
    assert all(point.rounds == 5 and point.predicted for point in dense.points)
    assert found.request.media[0].frames == 1


def test_an_arm_without_room_ends_with_a_row_and_the_others_go_on(loaded, told, full):
    full[None] = 72
    dense, arm = sweep(loaded, options()).curves
    assert outcomes(dense) == [MEASURED, OUT_OF_MEMORY, ENDED]
    assert dense.points[1].message == ["CUDA out of memory", "Tried to allocate 3.00 GiB"][1]
    assert dense.points[2].message == "had no room at 2 frames"
    assert dense.points[1].vision_tokens == 72
    assert outcomes(arm) == [MEASURED] * 3
    assert [point.comparison is None for point in arm.points] == [False, True, True]
    assert dense.growth is None
    assert arm.growth.sizes == (1, 2, 4)


def test_no_room_for_any_arm_at_any_size_is_a_report_too(loaded, told, full):
    full |= {None: 0, "v2drop": 0}
    found = sweep(loaded, options())
    assert [outcomes(curve) for curve in found.curves] == [[OUT_OF_MEMORY, ENDED, ENDED]] * 2
    assert found.request.model == "small"
    assert found.stopped_by == "sizes"


def test_an_arm_that_runs_out_in_its_rounds_ends_there_too(loaded, told, monkeypatch):
    """Dense has room alone, and not once the answers are there."""
    answer = passes_module.Passes.answer

    def no_room(self, arm, n):
        if arm.method is None and self.vision_tokens == 72:
            raise torch.OutOfMemoryError("full")
        return answer(self, arm, n)

    monkeypatch.setattr(passes_module.Passes, "answer", no_room)
    dense, arm = sweep(loaded, options()).curves
    assert outcomes(dense) == [MEASURED, OUT_OF_MEMORY, ENDED]
    assert outcomes(arm) == [MEASURED] * 3


def test_a_method_whose_budget_finds_no_room_ends_alone(loaded, told, monkeypatch):
    from v2drop_cli.bench import line_up

    meet = line_up.meet_budget

    def no_room(arm, passes):
        if arm.method == "random" and passes.vision_tokens == 72:
            raise torch.OutOfMemoryError("full")
        return meet(arm, passes)

    monkeypatch.setattr(line_up, "meet_budget", no_room)
    found = sweep(loaded, options(methods=("v2drop", "random")))
    by_label = {curve.label: outcomes(curve) for curve in found.curves}
    assert by_label == {
        "dense": [MEASURED] * 3,
        "v2drop 1:0.5": [MEASURED] * 3,
        "random 1:0.5": [MEASURED, OUT_OF_MEMORY, ENDED],
    }


def test_of_all_methods_those_that_were_there_end_together(loaded, told, monkeypatch):
    """Which of them it was cannot be told before they are lined up."""
    from v2drop_cli.bench import line_up

    monkeypatch.setattr(line_up, "known_methods", lambda: ("v2drop", "uniform"))
    tried = line_up._tried

    def no_room(name, options, passes):
        if passes.vision_tokens == 72:
            raise torch.OutOfMemoryError("full")
        return tried(name, options, passes)

    monkeypatch.setattr(line_up, "_tried", no_room)
    found = sweep(loaded, options(methods=("all",)))
    assert {curve.label: outcomes(curve) for curve in found.curves} == {
        "dense": [MEASURED] * 3,
        "v2drop 1:0.5": [MEASURED, OUT_OF_MEMORY, ENDED],
        "uniform 1:0.5": [MEASURED, OUT_OF_MEMORY, ENDED],
    }


def test_on_a_cpu_nothing_is_tried_that_is_predicted_to_be_over_the_limit(loaded, told):
    whole = sweep(loaded, options())
    two = whole.curves[0].points[1].predicted
    limit = two.total + 10**6 if two.process_bytes else 0
    first = whole.curves[0].points[0].predicted
    assert first.total < two.total
    found = sweep(loaded, replace(options(), max_memory=first.weights_bytes))
    assert limit
    assert [outcomes(curve)[0] for curve in found.curves] == [OVER_LIMIT, OVER_LIMIT]
    [message, *_] = [point.message for point in found.curves[0].points]
    assert "predicted to need" in message
    assert "asked for" in message
    assert found.curves[0].capacity.size is None
    assert found.max_memory_bytes == first.weights_bytes


def test_schedules_are_checked_at_every_size_before_the_first_is_measured(loaded, told):
    seen = []
    watch = Watch(on_progress=lambda progress: seen.append(progress.phase))
    with pytest.raises(ScheduleError):
        sweep(loaded, options(schedules=("99:0.5",)), watch)
    assert seen == []


def interrupting(phase, after):
    """A watch that is interrupted in `phase`, the second time if `after` is 1."""
    seen = []

    def told(progress):
        seen.append(progress.phase)
        if progress.phase == phase and seen.count(phase) > after:
            raise KeyboardInterrupt

    return Watch(on_progress=told)


def test_interrupted_before_anything_was_measured_there_is_no_report(loaded, told):
    with pytest.raises(KeyboardInterrupt):
        sweep(loaded, options(), interrupting(Phase.SIZES, 0))


def test_interrupted_between_sizes_what_is_there_is_a_partial_report(loaded, told):
    found = sweep(loaded, options(), interrupting(Phase.SIZES, 2))
    assert (found.stopped_by, found.partial) == ("interrupted", True)
    assert [len(curve.points) for curve in found.curves] == [2, 2]
    assert found.curves[0].growth.prefill_time.exponent == pytest.approx(2.0)
    assert found.curves[0].growth.prefill_time.ci95 is None
    assert found.curves[0].capacity is None


def test_interrupted_in_the_rounds_of_a_size_those_count(loaded, told):
    """The second size: 5 rounds of 3 arms told in all, of which 5 trials come first."""
    found = sweep(loaded, options(), interrupting(Phase.ROUNDS, 15 + 7))
    assert found.partial
    assert [point.rounds for point in found.curves[0].points] == [5, 2]


def test_interrupted_in_the_search_the_sizes_are_there(loaded, told):
    found = sweep(loaded, options(), interrupting(Phase.FITTING, 1))
    assert found.partial
    assert outcomes(found.curves[1]) == [MEASURED] * 3
    assert found.curves[0].capacity is not None
    assert found.curves[1].capacity is None


def test_every_size_is_told_and_handed_out(loaded, told):
    said, drafts = [], []
    watch = Watch(on_progress=lambda p: said.append(p.what) if p.phase == Phase.SIZES else None)
    sweep(loaded, options(), watch, drafts.append)
    assert said == ["1 frames (1 of 3)", "2 frames (2 of 3)", "4 frames (3 of 3)"]
    assert [len(draft.curves[0].points) for draft in drafts] == [1, 2, 3]
    assert all(draft.stopped_by == "running" and draft.partial for draft in drafts)


def test_what_is_to_be_read_at_once_is_told_once(loaded, told, monkeypatch):
    from v2drop_cli.bench import line_up
    from v2drop_cli.records import CaveatKind

    caveat = CaveatKind.UNKNOWN_WORDS.caveat(model="small", words="cat")
    monkeypatch.setattr(line_up, "unknown_words", lambda loaded, prompt: [caveat])
    heard = []
    sweep(loaded, options(), Watch(tell=heard.append))
    assert heard == [caveat.message]


def test_a_batch_has_a_throughput_each_arm_at_its_own_best_size(loaded, told, full):
    """Prefill 1 dense and 0.5 dropped, and half a second a row: more rows serve more."""
    growing = Growing(BATCH_SIZE, (1, 2, 4), rows, 8)
    found = sweep(loaded, options(growing))
    assert found.axis == ROWS
    dense, arm = found.throughput
    assert (dense.arm, dense.size, dense.requests_per_s) == ("dense", 4, 4 / 3)
    assert (dense.gain, dense.verdict) == (None, None)
    assert (arm.size, arm.requests_per_s) == (4, 4 / 2.5)
    assert arm.gain.median == pytest.approx(3 / 2.5)
    assert arm.verdict.verdict == MORE
    assert [point.rows for point in found.curves[0].points] == [1, 2, 4]


def test_a_size_that_only_one_side_has_room_for_counts_for_that_side(
    loaded, told, full, monkeypatch
):
    def memory(self, arm, new_tokens):
        if arm.method is None and self.subject.batch_size == 4:
            raise torch.OutOfMemoryError("full")
        return Memory(peak_allocated_bytes=1)

    monkeypatch.setattr(passes_module.Passes, "memory", memory)
    dense, arm = sweep(loaded, options(Growing(BATCH_SIZE, (1, 2, 4), rows, 8))).throughput
    assert (dense.size, dense.requests_per_s, arm.size) == (2, 1.0, 4)
    assert arm.gain.median == pytest.approx(1.6)


def test_caveats_of_some_sizes_only_name_them(loaded, told, monkeypatch):
    from v2drop_cli.records import Caveat

    caveats = passes_module.Passes.caveats

    def some(self):
        more = (Caveat("x", "long"),) if self.vision_tokens > 36 else ()
        return (*caveats(self), *more)

    monkeypatch.setattr(passes_module.Passes, "caveats", some)
    found = sweep(loaded, options())
    said = [caveat.message for caveat in found.warnings]
    assert "at 2, 4 frames: long" in said
    assert any(message.startswith("dummy weights") for message in said)
