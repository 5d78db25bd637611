"""Each quantity of one arm in two reports, judged; numbers that can be told by hand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from tests.report import factory
from v2drop_cli.judge.change_verdicts import Ruler, judge
from v2drop_cli.records import Limit, Memory, Ratio, Stats, Timing
from v2drop_cli.records.changes import Change
from v2drop_cli.records.metrics import METRICS

PLAIN = Ruler(0.25, {})


def took(seconds: float, rounds: int = 5) -> Stats:
    return Stats(seconds, (seconds,) * rounds)


def arm(**changes):
    parts = {"timing": Timing(), "memory": Memory(), "limit": None, **changes}
    return factory.dropped(**parts)


def change(a, b, metric, ruler=PLAIN):
    found = {item.metric: item for item in judge(a, b, ruler)}
    assert list(found) == [row.name for row in METRICS if row.name in found]
    return found.get(metric)


FIELDS = {
    "vision": "vision_s", "prefill": "prefill_s", "first_token": "time_to_first_token_s",
    "decode": "decode_s_per_token", "generate": "generate_s", "end_to_end": "end_to_end_s",
}  # fmt: skip


@pytest.mark.parametrize("metric", FIELDS)
def test_a_time_is_judged_by_the_ratio_of_its_medians(metric):
    a = arm(timing=Timing(**{FIELDS[metric]: took(2.0)}))
    b = arm(timing=Timing(**{FIELDS[metric]: took(4.0)}))
    assert change(a, b, metric) == Change(metric, "s", 2.0, 4.0, 2.0, (2.0, 2.0), None, "slower")
    assert change(b, a, metric) == Change(metric, "s", 4.0, 2.0, 0.5, (0.5, 0.5), None, "faster")
    assert change(a, a, metric).verdict == "same"
    others = [item.metric for item in judge(a, b, PLAIN) if item.metric in FIELDS]
    assert others == [metric]


@pytest.mark.parametrize(
    ("seconds", "noise", "verdict"),
    [
        (1.25, None, "same"),  # on the margin's edge
        (1.26, None, "slower"),
        (0.8, None, "same"),
        (0.79, None, "faster"),
        (1.26, (0.5, 2.0), "unclear"),
        (0.79, (0.5, 2.0), "unclear"),
        (1.1, (0.5, 2.0), "same"),
        (2.1, (0.5, 2.0), "slower"),
        (0.4, (0.5, 2.0), "faster"),
    ],
)
def test_margin_and_floor(seconds, noise, verdict):
    ruler = Ruler(0.25, {} if noise is None else {"prefill": noise, "decode": (0.1, 10.0)})
    a, b = (arm(timing=Timing(prefill_s=took(s))) for s in (1.0, seconds))
    found = change(a, b, "prefill", ruler)
    assert (found.verdict, found.noise) == (verdict, noise)


def test_a_time_of_few_rounds_is_unclear_and_one_of_one_report_is_not_judged():
    few, many = (arm(timing=Timing(prefill_s=took(1.0, n))) for n in (4, 5))
    found = change(few, many, "prefill")
    assert (found.ratio, found.ci95, found.verdict) == (1.0, None, "unclear")
    noisy = Ruler(0.25, {"prefill": (0.5, 2.0)})
    for pair, values in (((many, arm()), (1.0, None)), ((arm(), many), (None, 1.0))):
        found = change(*pair, "prefill", noisy)
        assert (found.a, found.b) == values
        assert (found.ratio, found.ci95, found.verdict) == (None, None, None)
    assert change(arm(), arm(), "prefill") is None
    nothing = arm(timing=Timing(prefill_s=took(0.0)))
    assert change(nothing, many, "prefill").verdict is None


def peak(allocated=None, rss=None):
    return arm(memory=Memory(None, None, allocated, None, None, rss))


def test_a_peak_is_one_reading_with_a_margin_and_a_floor():
    found = change(peak(1000), peak(1500), "peak_memory")
    assert found == Change("peak_memory", "bytes", 1000, 1500, 1.5, None, None, "more")
    assert change(peak(1000), peak(500), "peak_memory").verdict == "less"
    assert change(peak(1000), peak(1250), "peak_memory").verdict == "same"
    noisy = Ruler(0.25, {"peak_memory": (0.5, 2.0)})
    found = change(peak(1000), peak(1500), "peak_memory", noisy)
    assert (found.verdict, found.noise) == ("unclear", (0.5, 2.0))


def test_peaks_of_two_kinds_are_shown_and_not_judged():
    found = change(peak(1000), peak(rss=1000), "peak_memory")
    assert (found.a, found.b, found.ratio, found.verdict) == (1000, 1000, None, None)
    assert change(peak(), peak(), "peak_memory") is None
    assert change(peak(1000), peak(), "peak_memory").verdict is None


def counted(metric, count):
    if metric == "kv_cache":
        return arm(memory=Memory(kv_cache_bytes=count))
    if metric == "prefill_flops":
        return arm(limit=None if count is None else Limit(count, 1, 1, 1, None))
    return arm(**{metric: count})


UNITS = {
    "kv_cache": "bytes", "vision_tokens": "tokens", "layer_average_vision_tokens": "tokens",
    "prefill_flops": "flop",
}  # fmt: skip


@pytest.mark.parametrize("metric", UNITS)
@pytest.mark.parametrize(
    ("a", "b", "ratio", "verdict"),
    [
        (1000, 1001, 1.001, "more"),
        (1000, 999, 0.999, "less"),
        (1000, 1000, 1.0, "same"),
        (0, 5, None, "more"),
        (0, 0, None, "same"),
        (5, 0, 0.0, "less"),
    ],
)
def test_a_count_has_neither_margin_nor_floor(metric, a, b, ratio, verdict):
    noisy = Ruler(0.25, {metric: (0.5, 2.0)})
    found = change(counted(metric, a), counted(metric, b), metric, noisy)
    assert found == Change(metric, UNITS[metric], a, b, ratio, None, None, verdict)


def test_a_count_that_one_report_lacks():
    for metric in ("kv_cache", "prefill_flops"):
        some, none = counted(metric, 5), counted(metric, None)
        for pair, values in (((some, none), (5, None)), ((none, some), (None, 5))):
            found = change(*pair, metric)
            assert (found.a, found.b, found.ratio, found.verdict) == (*values, None, None)
        assert change(none, none, metric) is None


def test_an_average_of_less_than_a_token_is_a_number_like_others():
    half, quarter = (counted("layer_average_vision_tokens", n) for n in (0.5, 0.25))
    assert change(half, quarter, "layer_average_vision_tokens").ratio == 0.5
    assert change(quarter, half, "layer_average_vision_tokens").ratio == 2.0


@pytest.mark.parametrize(("a", "b"), [(-1, 5), (5, -1), (5e-324, 1e308)])
def test_what_is_no_ratio(a, b):
    """Only a tampered report has these."""
    assert change(counted("kv_cache", a), counted("kv_cache", b), "kv_cache").ratio is None


def test_the_ruler_reads_the_floors_of_both_reports():
    def report(low):
        null = factory.comparison("dense", prefill_speedup=Ratio(1.0, (low, 1.0)))
        return replace(factory.report(), null_comparison=null)

    for pair in ((0.5, 0.9), (0.9, 0.5)):
        ruler = Ruler.of(*map(report, pair), 0.1)
        assert (ruler.margin, ruler.noise["prefill"]) == (0.1, (0.5, 2.0))
    with pytest.raises(FrozenInstanceError):
        ruler.margin = 0.2


def of_a_process(peak):
    """A report whose peaks were read off the process, with no null to tell how coarse that is."""
    memory = Memory(rss_peak_bytes=peak)
    arms = tuple(replace(arm, memory=memory) for arm in factory.report().arms)
    return factory.report(arms=arms, null_comparison=None)


@pytest.mark.parametrize(("peak", "verdict"), [(1030, "unclear"), (1060, "more"), (930, "less")])
def test_the_peak_of_a_process_is_coarse_in_two_reports_too(peak, verdict):
    a, b = of_a_process(1000), of_a_process(peak)
    assert change(a.arms[1], b.arms[1], "peak_memory", Ruler.of(a, b, 0.02)).verdict == verdict
