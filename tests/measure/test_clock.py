from __future__ import annotations

import time

import pytest
import torch

from v2drop_cli.errors import DeviceError
from v2drop_cli.measure import clock as clock_module
from v2drop_cli.measure.clock import (
    CpuClock,
    CudaClock,
    FakeClock,
    Marks,
    UnknownMarkError,
    clock_for,
)
from v2drop_cli.measure.stats import paired_ratio, summarize
from v2drop_cli.measure.trials import run_trials

GPU = torch.device("cuda", 1)


def test_marks_tell_the_time_between_two_names():
    marks = Marks((("a", 1.0), ("b", 1.25), ("c", 4.0)), wall_s=5.0)
    assert marks.between("a", "c") == 3.0
    assert marks.between("c", "b") == -2.75
    assert "b" in marks
    assert "d" not in marks


def test_an_unknown_mark_is_a_key_error_that_reads_well():
    marks = Marks((("prefill", 1.0), ("decode", 2.0)), wall_s=0.0)
    with pytest.raises(KeyError) as caught:
        marks.between("prefill", "vision")
    assert isinstance(caught.value, UnknownMarkError)
    assert str(caught.value) == "no mark 'vision' was set; marks set: prefill, decode"
    with pytest.raises(UnknownMarkError, match="marks set: none"):
        Marks((), 0.0).between("a", "b")


def test_a_repeated_mark_is_summed_but_never_guessed_at():
    marks = Marks((("in", 0.0), ("out", 1.0), ("in", 5.0), ("out", 5.5)), wall_s=6.0)
    assert marks.total("in", "out") == 1.5
    with pytest.raises(ValueError, match="'out' was set 2 times"):
        marks.between("in", "out")
    with pytest.raises(ValueError, match="'in' was set 1 times, 'out' 2 times"):
        Marks((("in", 0.0), ("out", 1.0), ("out", 2.0)), 0.0).total("in", "out")


def test_cpu_clock_is_the_hosts_time():
    clock = CpuClock()
    for pause_s in (0.02, 0.0):
        clock.start()
        clock.mark("begin")
        time.sleep(pause_s)
        clock.mark("end")
        marks = clock.finish()
        assert pause_s <= marks.between("begin", "end") <= marks.wall_s
        assert [name for name, _ in marks.times_s] == ["begin", "end"]


def test_cuda_clock_waits_once_in_start_once_in_finish_never_in_mark(cuda):
    clock = CudaClock(GPU, pool=4)
    assert cuda.count("synchronize") == 0
    clock.start()
    assert cuda.count("synchronize") == 1
    for step in range(10):
        cuda.now_ms += 1.5
        clock.mark(f"{step}")
    assert cuda.count("synchronize") == 1
    marks = clock.finish()
    assert cuda.count("synchronize") == 2
    assert {device for call, device in cuda.log if call == "synchronize"} == {GPU}
    assert marks.between("0", "9") == pytest.approx(9 * 1.5e-3)
    assert marks.between("3", "4") == pytest.approx(1.5e-3)
    assert marks.wall_s >= 0


def test_cuda_clock_tells_how_long_it_waited_after_the_last_launch(cuda, monkeypatch):
    host = iter([0.0, 5.0, 5.75])  # started, launched, done
    monkeypatch.setattr(clock_module.time, "perf_counter", lambda: next(host))
    clock = CudaClock(GPU)
    clock.start()
    marks = clock.finish()
    assert (marks.wall_s, marks.waited_s) == (5.75, 0.75)
    assert cuda.count("synchronize") == 2
    cpu = CpuClock()
    cpu.start()
    assert cpu.finish().waited_s is None


def test_cuda_clock_records_on_the_current_stream_of_its_device(cuda):
    clock = CudaClock(GPU)
    clock.start()
    clock.mark("a")
    assert {stream for call, stream in cuda.log if call == "record"} == {"stream of cuda:1"}
    clock.finish()


def test_cuda_clock_makes_its_events_once(cuda):
    clock = CudaClock(GPU, pool=2)
    for trial in range(3):
        clock.start()
        for step in range(5):
            clock.mark(f"{step}")
            cuda.now_ms += trial + 1
        marks = clock.finish()
        assert marks.between("0", "4") == pytest.approx(4e-3 * (trial + 1))
    assert cuda.count("event") == 5


def test_cuda_clock_without_marks_still_tells_the_wall(cuda):
    clock = CudaClock(GPU)
    clock.start()
    assert clock.finish().times_s == ()


def test_start_forgets_the_marks_of_a_trial_that_failed(cuda):
    for clock in (CpuClock(), CudaClock(GPU), FakeClock([1.0, 2.0])):
        clock.start()
        clock.mark("lost")
        clock.start()
        clock.mark("kept")
        assert [name for name, _ in clock.finish().times_s] == ["kept"]


def test_finish_without_start_is_a_bug_that_says_so(cuda):
    for clock in (CpuClock(), CudaClock(GPU), FakeClock([])):
        clock.start()
        clock.finish()
        with pytest.raises(RuntimeError, match="without start"):
            clock.finish()


def test_fake_clock_takes_the_times_it_is_given():
    clock = FakeClock([10.0, 12.0, 20.0])
    clock.start()
    clock.mark("a")
    clock.mark("b")
    assert clock.finish() == Marks((("a", 10.0), ("b", 12.0)), wall_s=2.0)
    clock.start()
    clock.mark("c")
    with pytest.raises(RuntimeError, match="no time left for mark 'd'"):
        clock.mark("d")
    clock.start()
    assert clock.finish() == Marks((), wall_s=0.0)


def test_fake_clock_gives_exact_statistics():
    prefill_s = {"dense": (4.0, 6.0, 5.0), "arm": (2.0, 2.0, 2.5)}
    clocks = {
        label: FakeClock(time for trial in trials for time in (100.0, 100.0 + trial))
        for label, trials in prefill_s.items()
    }

    def trial(label: str) -> float:
        clock = clocks[label]
        clock.start()
        clock.mark("begin")
        clock.mark("end")
        return clock.finish().between("begin", "end")

    dense, arm = run_trials(
        [lambda: trial("dense"), lambda: trial("arm")], repeats=3, warmup=0, seed=7
    )
    assert summarize(dense).median == 5.0
    assert summarize(dense).samples == prefill_s["dense"]
    assert paired_ratio(dense, arm).median == 2.0


def test_clock_for_each_device(cuda):
    assert isinstance(clock_for(torch.device("cpu")), CpuClock)
    assert isinstance(clock_for(torch.device("cuda:0")), CudaClock)
    with pytest.raises(DeviceError, match="'mps'") as caught:
        clock_for(torch.device("mps"))
    assert caught.value.hint
