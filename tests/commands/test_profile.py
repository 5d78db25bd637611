"""What `profile` does, with clocks that are told the time where numbers must be exact."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkpoints import save_checkpoint
from tests.report import factory
from v2drop_cli import load
from v2drop_cli.bench import passes, rounds
from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.bench.comparison import scoring_overheads
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.bench.stopping import StopRule
from v2drop_cli.bench.watch import Phase, Watch
from v2drop_cli.commands import profile as module
from v2drop_cli.commands.profile import ProfileOptions, invalid, profile
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.measure import machine, stats
from v2drop_cli.media import load_image
from v2drop_cli.records import MachineState
from v2drop_cli.records.verdicts import FASTER, MORE, WITHIN_NOISE

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
PREFILL = {None: 4.0, "v2drop": 2.0, "random": 1.5}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


def options(**changes):
    arms = ArmOptions(ScheduleOptions(schedules=("1:0.5",)))
    base = ProfileOptions("what?", "small", arms, StopRule(5, 0.01, 0.0), True, 3, 2, 1)
    return replace(base, **changes)


@pytest.fixture
def told(monkeypatch):
    """Trials that take exactly what `PREFILL` says, and a list of the arms as they come."""
    order = []

    def time(self, arm, clock, new_tokens):
        order.append((arm.method, new_tokens))
        seconds = PREFILL[arm.method]
        return StageTimes(0.5, 0.25, seconds, 0.125, seconds + 1, seconds + 1)

    monkeypatch.setattr(passes.Passes, "time", time)
    return order


def test_a_profile_is_exact(loaded, told):
    report = profile(loaded, [load_image(CAT)], options())
    assert [arm.label for arm in report.arms] == ["dense", "v2drop", "random"]
    assert [c.prefill_speedup.median for c in report.comparisons] == [2.0, 4.0 / 1.5]
    assert report.comparisons[0].prefill_speedup.ci95 == (2.0, 2.0)
    assert report.null_comparison.prefill_speedup.ci95 == (1.0, 1.0)
    assert report.null_comparison.answers_identical
    protocol = report.protocol
    assert (protocol.rounds, protocol.stopped_by, protocol.partial) == (5, "precision", False)
    assert protocol.reached_precision == 0.0
    assert protocol.null_timing.prefill_s.samples == (4.0,) * 5
    [overhead] = protocol.scoring_overheads
    assert (overhead.arm, overhead.random_arm) == ("v2drop", "random")
    assert (overhead.prefill_s, overhead.ci95) == (0.5, (0.5, 0.5))
    assert overhead.share_of_dense_prefill == 0.125
    said = [c.verdict("prefill_speedup").verdict for c in report.comparisons]
    assert said == [FASTER, FASTER]
    assert overhead.verdict.verdict == MORE
    assert report.null_comparison.verdict("prefill_speedup").verdict == WITHIN_NOISE
    timing = report.arms[1].timing
    assert timing.end_to_end_s.samples == tuple(m + 0.5 + 3.0 for m in timing.media_s.samples)
    # The files are read once a round, for all arms.
    assert timing.media_s == report.arms[0].timing.media_s


def test_what_intervals_need_is_there_before_the_first_trial(loaded, monkeypatch, told):
    """An interrupt in the middle of importing scipy would leave no report."""
    asked, first = [], []
    real = stats._interval_of
    monkeypatch.setattr(stats, "_interval_of", lambda *a: asked.append(0) or real(*a))
    timed = passes.Passes.time

    def time(self, arm, clock, new_tokens):
        first.append(len(asked))
        return timed(self, arm, clock, new_tokens)

    monkeypatch.setattr(passes.Passes, "time", time)
    profile(loaded, [load_image(CAT)], options())
    assert first[0] >= 1


def test_ratios_are_paired_and_the_null_has_samples_of_its_own(loaded, monkeypatch):
    """Times that change from round to round: a ratio of medians would be another number."""
    left = {"v2drop": [9.0, 4.0, 2.0, 12.0, 3.0, 6.0], "random": [9.0, 2.0, 1.0, 6.0, 1.0, 5.0]}
    # The two dense arms are equal; which is the null, the report must tell by itself.
    both = [[9.0, 4.0, 8.0, 12.0, 6.0, 9.0], [9.0, 5.0, 10.0, 6.0, 3.0, 10.0]]

    def time(self, arm, clock, new_tokens):
        if arm.method is None and id(arm) not in left:
            left[id(arm)] = both[len(left) - 2].copy()
        seconds = left[arm.method or id(arm)].pop(0)
        return StageTimes(0.5, 0.25, seconds, 0.125, seconds, seconds)

    monkeypatch.setattr(passes.Passes, "time", time)
    report = profile(loaded, [load_image(CAT)], options())
    dense = report.arms[0].timing.prefill_s.samples
    null = report.protocol.null_timing.prefill_s.samples
    assert {dense, null} == {tuple(times[1:]) for times in both}
    found = report.comparisons[0].prefill_speedup.median
    ours = (4.0, 2.0, 12.0, 3.0, 6.0)
    assert report.arms[1].timing.prefill_s.samples == ours
    assert found == statistics.median(d / v for d, v in zip(dense, ours, strict=True))
    assert found != statistics.median(dense) / 4.0
    against_itself = report.null_comparison.prefill_speedup.median
    assert against_itself == statistics.median(d / n for d, n in zip(dense, null, strict=True))
    assert against_itself != 1.0
    [overhead] = report.protocol.scoring_overheads
    assert overhead.prefill_s == 2.0  # of 2, 1, 6, 2 and 1


def test_every_round_holds_every_arm_and_the_null_and_mirrors_the_round_before(loaded, told):
    profile(loaded, [load_image(CAT)], options(stop=StopRule(4, 0.01, 0.0)))
    rounds = [[m for m, _ in told[start : start + 4]] for start in range(0, len(told), 4)]
    assert len(rounds) == 1 + 4
    for methods in rounds:
        assert sorted(methods, key=str) == [None, None, "random", "v2drop"]
    assert rounds[2] == rounds[1][::-1]
    assert rounds[4] == rounds[3][::-1]
    assert {tokens for _, tokens in told} == {2}


def test_random_is_added_once_and_only_if_wanted(loaded, told):
    report = profile(loaded, [load_image(CAT)], options(with_random=False))
    assert [arm.label for arm in report.arms] == ["dense", "v2drop"]
    assert report.protocol.scoring_overheads == ()
    arms = replace(options().arms, methods=("random", "v2drop"))
    report = profile(loaded, [load_image(CAT)], options(arms=arms))
    assert [arm.label for arm in report.arms] == ["dense", "random", "v2drop"]


def test_time_ends_what_precision_does_not(loaded):
    report = profile(loaded, [load_image(CAT)], options(stop=StopRule(5, 1e-9, 0.0)))
    assert (report.protocol.rounds, report.protocol.stopped_by) == (5, "time")
    assert report.protocol.reached_precision > 1e-9


def test_time_does_not_end_a_profile_before_there_are_intervals(loaded):
    report = profile(loaded, [load_image(CAT)], options(stop=StopRule(max_time_s=0.0)))
    assert (report.protocol.rounds, report.protocol.stopped_by) == (5, "time")
    assert report.request.repeats is None
    assert report.comparisons[0].prefill_speedup.ci95 is not None


def test_whoever_asks_for_fewer_rounds_gets_them(loaded):
    report = profile(loaded, [load_image(CAT)], options(stop=StopRule(1, max_time_s=0.0)))
    assert (report.protocol.rounds, report.protocol.stopped_by) == (1, "time")
    assert report.comparisons[0].prefill_speedup.ci95 is None


def test_an_interruption_keeps_the_complete_rounds(loaded, monkeypatch, told):
    timed = passes.Passes.time

    def interrupt(self, arm, clock, new_tokens):
        if len(told) == 4 + 2 * 4 + 1:  # a warm-up round, two rounds, one arm of the third
            raise KeyboardInterrupt
        return timed(self, arm, clock, new_tokens)

    monkeypatch.setattr(passes.Passes, "time", interrupt)
    seen = []
    watch = Watch(on_round=seen.append)
    report = profile(loaded, [load_image(CAT)], options(stop=StopRule(9, 0.01, 0.0)), watch)
    assert (report.protocol.rounds, report.protocol.stopped_by) == (2, "interrupted")
    assert report.protocol.partial
    assert report.partial
    assert report.stopped_by == "interrupted"
    assert len(report.arms[0].timing.prefill_s.samples) == 2
    assert [r.protocol.rounds for r in seen] == [1, 2]
    assert {r.protocol.stopped_by for r in seen} == {"running"}
    assert all(r.protocol.partial for r in seen)


def test_intervals_on_the_way_take_a_tenth_of_the_time(loaded, monkeypatch, told):
    now, seen = [0.0], []
    monkeypatch.setattr(rounds.time, "monotonic", lambda: now[0])
    timed = passes.Passes.time

    def slow(self, arm, clock, new_tokens):
        now[0] += 0.25  # four arms: a round takes a second
        return timed(self, arm, clock, new_tokens)

    def keep(report):
        found = report.comparisons[0].prefill_speedup
        assert found.median == 2.0
        assert report == judged(report)  # drafts carry verdicts too
        assert report.comparisons[0].verdicts
        if report.protocol.rounds < 5:  # too few for one
            now[0] += 0.5 if report.protocol.rounds == 1 else 0.0
        elif found.ci95 is not None:
            now[0] += 0.5
        seen.append((report.protocol.rounds, found.ci95 is not None))

    monkeypatch.setattr(passes.Passes, "time", slow)
    rule = StopRule(20, 1e-9, 0.0)
    profile(loaded, [load_image(CAT)], options(stop=rule), Watch(on_round=keep))
    assert [rounds for rounds, _ in seen] == list(range(1, 20))  # written after each round
    assert [rounds for rounds, known in seen if known] == [6, 11, 16]


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_interruption_before_the_first_round_leaves_the_answers(loaded, monkeypatch):
    monkeypatch.setattr(passes.Passes, "time", interrupted)
    report = profile(loaded, [load_image(CAT)], options())
    assert (report.protocol.rounds, report.partial) == (0, True)
    assert report.arms[1].drops
    assert report.arms[1].timing.prefill_s is None
    assert report.comparisons[0].prefill_speedup is None


@pytest.mark.parametrize("where", ["answer", "memory"])
def test_an_interruption_before_every_arm_has_answered_leaves_nothing(loaded, monkeypatch, where):
    monkeypatch.setattr(passes.Passes, where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        profile(loaded, [load_image(CAT)], options())


def test_a_batch_is_the_prompt_repeated(loaded):
    one = profile(loaded, [load_image(CAT)], options())
    three = profile(loaded, [load_image(CAT)], options(batch_size=3))
    assert three.request.batch_size == 3
    assert [arm.answer for arm in three.arms] == [arm.answer for arm in one.arms]
    for single, batch in zip(one.arms, three.arms, strict=True):
        assert batch.vision_tokens == 3 * single.vision_tokens
        assert batch.layer_average_vision_tokens == 3 * single.layer_average_vision_tokens
        assert batch.memory.kv_cache_bytes == 3 * single.memory.kv_cache_bytes
        for drop, whole in zip(single.drops, batch.drops, strict=True):
            assert (whole.before, whole.after) == (3 * drop.before, 3 * drop.after)
            assert len(whole.kept) == 3


def test_progress_is_told_between_trials(loaded, told):
    said = []
    profile(loaded, [load_image(CAT)], options(stop=StopRule(3, 0.01, 30.0)), Watch(said.append))
    phases = [Phase.ANSWERS, Phase.MEMORY, Phase.WARM_UP, Phase.ROUNDS, Phase.INTERVALS]
    assert list(dict.fromkeys(progress.phase for progress in said)) == phases
    timed = [progress for progress in said if progress.phase is Phase.ROUNDS]
    assert [(p.done, p.of, p.at_least) for p in timed[:5]] == [(0, 3, True)] * 4 + [(1, 3, True)]
    assert [p.part for p in timed[:4]] == [0.0, 0.25, 0.5, 0.75]
    warm_up = [progress for progress in said if progress.phase is Phase.WARM_UP]
    assert [(p.done, p.of, p.at_least) for p in warm_up] == [(0, 1, False)] * 4


def test_overheads_pair_only_equal_schedules():
    dense, ours = factory.dense(), factory.dropped()
    other = factory.dropped("random 1:0.5", schedule="1:0.5")
    assert scoring_overheads(dense, [ours, other], "random") == ()
    [found] = scoring_overheads(dense, [ours, factory.dropped("random")], "random")
    assert found.prefill_s == 0.0


def test_the_null_is_not_an_arm_of_the_report(loaded, told):
    report = profile(loaded, [load_image(CAT)], options())
    assert (report.null_comparison.arm, report.null_comparison.reference) == ("dense", "dense")
    assert len({arm.label for arm in report.arms}) == len(report.arms)
    assert module.RANDOM == "random"


# Machine state, on a GPU that is a fake ------------------------------------------------------


class Gpu:
    """A driver whose event reasons are told, one per look."""

    def __init__(self, *reasons):
        self.reasons = iter(reasons)

    def look(self, nvml):
        return MachineState(1980, 300.0, 60, next(self.reasons, ()), 0)


@pytest.fixture
def on_gpu(monkeypatch, told):
    def install(*reasons):
        monkeypatch.setattr(rounds.Bench, "watches_gpu", True)
        monkeypatch.setattr(rounds, "idle_power", lambda nvml: 74.0)
        monkeypatch.setattr(passes.Passes, "energy", lambda self, arm, new_tokens: 9.5)
        monkeypatch.setattr(machine, "read_state", Gpu(*reasons).look)

    return install


SLOW = ("hw_thermal_slowdown",)


def test_spoiled_rounds_are_left_out_and_counted(loaded, on_gpu):
    on_gpu((), (), (), (), SLOW, (), ())  # rounds 4 and 5 touch the slowdown
    report = profile(loaded, [load_image(CAT)], options(stop=StopRule(5, 0.01, 99.0)))
    assert (report.protocol.rounds, report.protocol.invalid_rounds) == (5, 2)
    assert len(report.arms[0].timing.prefill_s.samples) == 5
    assert len(report.protocol.machine) == 8
    assert report.protocol.idle_power_w == 74.0
    assert [arm.energy_j for arm in report.arms] == [9.5] * 3
    assert "gpu-slowed" in [caveat.code for caveat in report.warnings]
    assert invalid(report.protocol) == "the GPU was slowed down in 2 of 7 rounds"


def test_nothing_but_spoiled_rounds_is_still_a_report(loaded, on_gpu):
    on_gpu(*[SLOW] * 9)
    report = profile(loaded, [load_image(CAT)], options())
    assert (report.protocol.rounds, report.protocol.invalid_rounds) == (0, 5)
    assert report.arms[0].timing.prefill_s is None
    assert report.comparisons[0].prefill_speedup is None
    assert invalid(report.protocol) is not None
    report.dumps()


@pytest.mark.parametrize(("rounds", "spoiled", "is_invalid"), [(8, 2, False), (7, 2, True)])
def test_a_fifth_of_the_rounds_may_be_spoiled(rounds, spoiled, is_invalid):
    protocol = factory.protocol(rounds=rounds, invalid_rounds=spoiled)
    assert (invalid(protocol) is not None) == is_invalid
