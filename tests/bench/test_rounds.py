"""The measuring loop, with passes and clocks that are told what to say: no model runs."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace
from types import SimpleNamespace

import pytest
import torch

from tests.report import factory
from v2drop_cli.bench import rounds as module
from v2drop_cli.bench.rounds import Bench, Work
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.bench.stopping import FixedRounds, Rounds
from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.measure.trials import schedule_rounds
from v2drop_cli.records import Limit, Memory

ARMS = ("dense", "v2drop", "random")
PREFILL = {"dense": 4.0, "v2drop": 2.0, "random": 1.0}
LIMIT = Limit(1, 2, 3, 4, None)
TRIAL_S, DECODING_S = 2.25, 0.25
WORK = Work(answer_tokens=7, timed_tokens=5, warmup=0)


class World:
    """Passes of arms that are their names, on a clock that only they move; all is logged."""

    def __init__(self, device="cpu", media=()):
        self.loaded = SimpleNamespace(device=torch.device(device), parts=1)
        self.subject = SimpleNamespace(media=media)
        self.nvml = "nvml"
        self.now = 3.0
        self.log, self.progress = [], []
        self.interrupt_at = None

    def answer(self, arm, new_tokens):
        self.log.append(("answer", arm, new_tokens))
        return factory.dropped(arm)

    def memory(self, arm, new_tokens):
        self.log.append(("memory", arm, new_tokens))
        return Memory(weights_bytes=len(arm))

    def limit(self, arm):
        self.log.append(("limit", arm))
        return LIMIT

    def energy(self, arm, new_tokens):
        self.log.append(("energy", arm, new_tokens))
        return 3.5

    def time(self, arm, clock, new_tokens):
        if len(self.timed) == self.interrupt_at:
            raise KeyboardInterrupt
        self.log.append(("time", arm, new_tokens))
        self.now += TRIAL_S
        return StageTimes(None, 0.5, PREFILL[arm], None, 6.0, 6.0)

    def capture_s(self, arm):
        return 0.125 if arm == "v2drop" else None

    @property
    def timed(self):
        return [arm for what, arm, *_ in self.log if what == "time"]

    def decode_again(self, item):
        self.log.append(("decode", item))
        self.now += DECODING_S


class Machine:
    """A GPU that was slowed down in the rounds named; made by :func:`world`."""

    slow: tuple[int, ...] = ()

    def __init__(self, nvml):
        self.nvml, self.taken, self.slowed_rounds = nvml, 0, 0

    def round_is_valid(self):
        slowed = self.taken in self.slow
        self.taken += 1
        self.slowed_rounds += slowed
        return not slowed


@pytest.fixture
def on(monkeypatch):
    """Makes a world, and puts it in the place of everything that the loop asks."""

    def make(device="cpu", media=(), slow=()):
        world = World(device, media)
        time = SimpleNamespace(monotonic=lambda: world.now, perf_counter=lambda: world.now)
        loads = []
        for name, value in {
            "time": time,
            "decode_again": world.decode_again,
            "describe": lambda device, nvml: {"device": device.type, "nvml": nvml},
            "idle_power": lambda nvml: {"nvml": 61.5}[nvml],
            "MachineWatch": type("Slow", (Machine,), {"slow": slow}),
            "clock_for": lambda device: device,
            "median_interval": lambda samples, fewest: loads.append(samples),
        }.items():
            monkeypatch.setattr(module, name, value)
        world.scipy_loaded = loads
        return world

    return make


def bench_of(world, work=WORK, arms=ARMS, **watch):
    return Bench(world, arms, work, Watch(on_progress=world.progress.append, **watch))


def report(stopped_by, intervals):
    return stopped_by, intervals


# The order of things -------------------------------------------------------------------------


def test_answers_memory_warm_up_then_rounds_in_this_order(on):
    world = on()
    bench = bench_of(world, replace(WORK, warmup=2, seed=3))
    assert bench.measure(FixedRounds(3), report) == ("rounds", True)
    wanted = [("answer", arm, 7) for arm in ARMS] + [("memory", arm, 5) for arm in ARMS]
    orders = [(0, 1, 2)] * 2 + schedule_rounds(3, 3, seed=3)
    wanted += [("time", ARMS[number], 5) for order in orders for number in order]
    assert world.log == wanted
    assert len(world.scipy_loaded) == 1
    assert bench.environment == {"device": "cpu", "nvml": "nvml"}
    assert (bench.machine, bench.idle_power_w) == (None, None)


def test_a_thorough_measurement_on_a_gpu_asks_more_of_it(on):
    world = on("cuda")
    bench = bench_of(world, replace(WORK, thorough=True), ARMS[:2])
    bench.measure(FixedRounds(1), report)
    assert world.progress[0] == Progress(Phase.IDLE_POWER)
    assert bench.idle_power_w == 61.5
    assert (bench.machine.nvml, bench.machine.taken) == ("nvml", 1)
    for arm in ("dense", "v2drop"):
        of_arm = [what for what, *rest in world.log if rest[0] == arm]
        assert sorted(of_arm) == ["answer", "energy", "limit", "memory", "time"]
    assert ("energy", "v2drop", 5) in world.log
    assert [(arm.energy_j, arm.limit) for arm in bench.timed("rounds")] == [(3.5, LIMIT)] * 2


@pytest.mark.parametrize(
    ("device", "thorough", "asked"),
    [
        ("cpu", True, {"limit"}),
        ("mps", True, {"limit"}),
        ("cuda", False, set()),
        ("cpu", False, set()),
    ],
)
def test_what_is_asked_where_there_is_no_gpu_or_no_care(on, device, thorough, asked):
    world = on(device)
    bench = bench_of(world, replace(WORK, thorough=thorough))
    bench.measure(FixedRounds(1), report)
    assert {what for what, *_ in world.log} == {"answer", "memory", "time"} | asked
    assert (bench.machine, bench.idle_power_w) == (None, None)
    [dense, *_] = bench.timed("rounds")
    assert (dense.energy_j, dense.limit) == (None, LIMIT if asked else None)


@pytest.mark.parametrize("explain", [True, False])
def test_tokens_are_followed_where_someone_asks_how_they_moved(on, monkeypatch, explain):
    world, asked = on(), []
    world.inputs = "inputs"
    monkeypatch.setattr(module, "movements", lambda *given: asked.append(given) or ("moved",))
    bench = bench_of(world, replace(WORK, explain=explain), ARMS[:2])
    bench.measure(FixedRounds(1), report)
    assert asked == ([(world.loaded, "inputs", arm) for arm in ARMS[:2]] if explain else [])
    moved = {arm.movements for arm in bench.timed("rounds")}
    assert moved == {("moved",) if explain else factory.dropped("v2drop").movements}


def test_work_without_a_word_is_brief_and_from_seed_0():
    assert (WORK.seed, WORK.thorough, WORK.explain) == (0, False, False)
    with pytest.raises(FrozenInstanceError):
        WORK.seed = 1


# What comes of it ----------------------------------------------------------------------------


def test_every_arm_has_its_own_times_memory_and_answer(on):
    bench = bench_of(on())
    bench.measure(FixedRounds(5), report)
    found = bench.timed("rounds")
    assert [arm.label for arm in found] == list(ARMS)
    assert [arm.memory.weights_bytes for arm in found] == [5, 6, 6]
    assert [arm.capture_s for arm in found] == [None, 0.125, None]
    for arm in found:
        assert arm.timing.prefill_s.samples == (PREFILL[arm.label],) * 5
        assert arm.timing.prefill_s.ci95 == (PREFILL[arm.label],) * 2
    assert bench.count == Rounds(5)


def test_a_draft_has_medians_and_no_intervals(on):
    bench = bench_of(on())
    bench.measure(FixedRounds(5), report)
    for arm in bench.timed("running"):
        assert arm.timing.prefill_s.median == PREFILL[arm.label]
        assert arm.timing.prefill_s.ci95 is None


def test_without_a_round_there_are_no_times(on):
    world = on()
    world.interrupt_at = 0
    bench = bench_of(world)
    assert bench.measure(FixedRounds(5), report) == ("interrupted", True)
    assert [arm.timing.prefill_s for arm in bench.timed("interrupted")] == [None] * 3


def test_media_are_decoded_once_a_round_for_all_arms(on):
    world = on(media=("cat", "dog"))
    bench = bench_of(world)
    bench.measure(FixedRounds(2), report)
    assert [entry[1] for entry in world.log if entry[0] == "decode"] == ["cat", "dog"] * 2
    for arm in bench.timed("rounds"):
        assert arm.timing.media_s.samples == (2 * DECODING_S,) * 2


def test_without_media_nothing_was_decoded(on):
    bench = bench_of(on())
    bench.measure(FixedRounds(1), report)
    assert [times.media_s for [times, *_] in bench.rounds] == [None]


def test_rounds_of_a_slowed_gpu_are_counted_and_left_out(on):
    world = on("cuda", media=("cat",), slow=(0, 2))
    bench = bench_of(world, replace(WORK, thorough=True))
    bench.measure(FixedRounds(5), report)
    assert bench.count == Rounds(3, 2)
    assert [len(times) for times in bench.rounds] == [3] * 3
    assert len(world.timed) == 5 * len(ARMS)
    assert world.log.count(("decode", "cat")) == 3


def test_an_answer_is_told_before_the_next_arm_is_asked(on):
    world = on()
    bench_of(world, on_answer=lambda arm: world.log.append(("told", arm.label))).measure(
        FixedRounds(1), report
    )
    wanted = [entry for arm in ARMS for entry in (("answer", arm, 7), ("told", arm))]
    assert world.log[: 2 * len(ARMS)] == wanted


# When to stop --------------------------------------------------------------------------------


@dataclass
class Until:
    """Stops after ``rounds``, and notes what it was told."""

    rounds: int
    least: int = 3
    precision: float | None = None

    def __post_init__(self):
        self.told = []

    def reason(self, rounds, reached, elapsed_s):
        self.told.append((rounds, reached, elapsed_s))
        return "enough" if rounds.taken == self.rounds else None

    def coming(self, taken, round_s, elapsed_s):
        return (self.least, taken, round_s, elapsed_s)

    def left_s(self, taken, round_s, elapsed_s):
        return (taken, round_s, elapsed_s)


def test_the_rule_is_told_rounds_and_time_since_the_warm_up_began(on):
    world = on(media=("cat",))
    bench = bench_of(world, replace(WORK, warmup=2))
    stop = Until(2)
    assert bench.measure(stop, report) == ("enough", True)
    warm, each = 2 * 3 * TRIAL_S, 3 * TRIAL_S + DECODING_S
    assert stop.told == [(Rounds(1), None, warm + each), (Rounds(2), None, warm + 2 * each)]
    world.now += 1.0
    assert bench.elapsed_s == warm + 2 * each + 1.0


def test_nobody_looks_at_the_precision_that_nobody_wants(on, monkeypatch):
    monkeypatch.setattr(module, "paired_ratio", None)
    bench_of(on()).measure(Until(12), report)


@pytest.mark.parametrize(
    ("least", "looks"),
    [
        (0, [*range(1, 21), 22, 24]),
        (3, [*range(3, 21), 22, 24]),
        (20, [20, 22, 24]),
        (30, []),
    ],
)
def test_looks_at_the_precision_are_a_tenth_of_the_rounds_apart(on, monkeypatch, least, looks):
    asked = []
    monkeypatch.setattr(module, "paired_ratio", lambda *series: asked.append(series) or len(asked))
    monkeypatch.setattr(module, "half_width", lambda ratios: (len(asked) / 2, ratios))
    stop = Until(25, least, precision=0.01)
    bench_of(on()).measure(stop, report)
    assert [rounds.valid for rounds, reached, _ in stop.told if reached is not None] == looks
    for look, valid in enumerate(looks):
        of_look = asked[2 * look : 2 * look + 2]
        assert of_look == [([4.0] * valid, [2.0] * valid), ([4.0] * valid, [1.0] * valid)]
        assert stop.told[valid - 1][1] == (look + 1, [2 * look + 1, 2 * look + 2])


def test_a_round_that_was_left_out_is_no_reason_to_look_again(on, monkeypatch):
    world, looks = on("cuda", slow=(3, 4)), []
    monkeypatch.setattr(module, "paired_ratio", lambda one, other: looks.append(len(one)))
    monkeypatch.setattr(module, "half_width", lambda ratios: None)
    bench = bench_of(world, replace(WORK, thorough=True), ARMS[:2])
    bench.measure(Until(7, precision=0.01), report)
    assert looks == [3, 4, 5]


# Who is told ---------------------------------------------------------------------------------


def test_progress_names_every_step(on):
    world = on()
    stop = Until(3, least=2)
    bench_of(world, replace(WORK, warmup=1), ARMS[:2]).measure(stop, report)

    def at(done, part, round_s, elapsed):
        left = (done + part, round_s, elapsed * TRIAL_S)
        coming = (2, *left)
        return Progress(Phase.ROUNDS, done, coming, part=part, left_s=left)

    each = 2 * TRIAL_S
    assert world.progress == [
        Progress(Phase.ANSWERS, 0, 2), Progress(Phase.ANSWERS, 1, 2),
        Progress(Phase.MEMORY, 0, 2), Progress(Phase.MEMORY, 1, 2),
        Progress(Phase.WARM_UP, 0, 1), Progress(Phase.WARM_UP, 0, 1, part=0.5),
        at(0, 0.0, None, 2), at(0, 0.5, None, 3),
        at(1, 0.0, each, 4), at(1, 0.5, each, 5),
        at(2, 0.0, each, 6), at(2, 0.5, each, 7),
        Progress(Phase.INTERVALS),
    ]  # fmt: skip


def test_more_rounds_may_follow_where_a_precision_is_wanted(on):
    world = on()
    bench_of(world).measure(Until(3, precision=0.5), report)
    told = [step for step in world.progress if step.phase is Phase.ROUNDS]
    assert all(step.at_least for step in told)
    assert len(told) == 3 * len(ARMS)


def test_a_round_lasts_as_long_as_the_median_round_with_its_pauses(on):
    world = on()
    pauses = iter([1.0, 30.0, 2.0, 0.0])
    stop = Until(4)

    def rest(report):
        world.now += next(pauses)

    bench_of(world, on_round=rest).measure(stop, report)
    begun = [step.left_s for step in world.progress if step.phase is Phase.ROUNDS]
    assert [round_s for taken, round_s, _ in begun if taken == int(taken)] == [
        None,
        7.75,
        22.25,
        8.75,
    ]


def test_everyone_is_asked_for_a_lost_interrupt_between_trials(on):
    world, checks = on(), []
    bench = bench_of(world, replace(WORK, warmup=1), check=lambda: checks.append(len(world.log)))
    bench.measure(FixedRounds(1), report)
    # Before every answer, memory pass, warm-up trial and timed trial.
    assert checks == list(range(4 * len(ARMS)))


def test_drafts_come_after_every_round_but_the_last(on):
    world, drafts = on(), []
    bench = bench_of(world, on_round=drafts.append)
    last = bench.measure(FixedRounds(4), lambda why, intervals: (why, len(bench.rounds)))
    assert last == ("rounds", 4)
    assert drafts == [("running", 1), ("running", 2), ("running", 3)]


@pytest.mark.parametrize(
    ("draft_s", "wanted"),
    [
        (0.5, [True, False] * 4),  # the next may begin 4.5 s later: the moment that round 2 ends
        (0.53125, [True, False, False] * 2 + [True, False]),
    ],
)
def test_drafts_with_intervals_take_a_tenth_of_the_time(on, draft_s, wanted):
    world, drafts = on(), []

    def assemble(why, intervals):
        if intervals:
            world.now += draft_s
        return intervals

    bench_of(world, arms=ARMS[:1], on_round=drafts.append).measure(FixedRounds(9), assemble)
    assert drafts == wanted


def test_no_draft_before_there_is_a_valid_round(on):
    world, drafts = on("cuda", slow=(0, 1)), []
    bench = bench_of(world, replace(WORK, thorough=True), on_round=drafts.append)
    bench.measure(FixedRounds(4), lambda why, intervals: len(bench.rounds))
    assert drafts == [1]


# Interrupts ----------------------------------------------------------------------------------


def test_an_interrupt_amid_the_rounds_leaves_the_whole_ones(on):
    world = on()
    world.interrupt_at = 2 * len(ARMS) + 1
    bench = bench_of(world)
    assert bench.measure(FixedRounds(5), report) == ("interrupted", True)
    assert len(bench.rounds) == 2
    assert world.progress[-1] == Progress(Phase.INTERVALS)


@pytest.mark.parametrize("at", range(2 * len(ARMS)))
def test_an_interrupt_before_the_rounds_ends_everything(on, at):
    world = on()

    def check():
        if len(world.log) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench_of(world, check=check).measure(FixedRounds(1), report)
    assert len(world.log) == at
