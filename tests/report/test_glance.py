"""The lines and bars of a profile, and when there are none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from tests.report.regenerate import shown
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Stats
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.finding import finding
from v2drop_cli.report.glance import ASCII, BLOCKS, Spread, axis, bars, range_of
from v2drop_cli.report.text import GLUE

PLOT = "Prefill times"


def glance(report):
    return build_view(judged(report)).glance


def with_samples(count):
    """The profile of the factory with `count` prefill samples in each arm."""
    stats = Stats(0.2, (0.2,) * count) if count else None
    report = factory.profiled()
    arms = [replace(a, timing=replace(a.timing, prefill_s=stats)) for a in report.arms]
    return replace(report, arms=tuple(arms))


def test_one_line_per_arm_with_its_ratios():
    rows = {
        row.label: [cell.text.replace(GLUE, " ") for cell in row.cells]
        for row in glance(factory.profiled()).rows
    }
    assert list(rows) == ["dense", "v2drop", "random*"]
    assert rows["dense"] == ["214 ms", "12.3 ms", "417 ms", "315 MiB", "reference"]
    assert rows["v2drop"] == ["2.17x", "~1.00x", "1.39x", "39.2 %", "same"]
    assert rows["random*"][-1] == "differs"
    lines = shown(factory.profiled(), 120, terminal=True).splitlines()
    assert sum(line.startswith("  v2drop  ") for line in lines) == 2  # the line, and the bars


@pytest.mark.parametrize("name", ["plain", "four_arms", "missing", "dummy", "profiled"])
def test_every_report_of_several_arms_has_a_row_for_each(name):
    report = factory.REPORTS[name]()
    assert [row.label.replace("\n", "") for row in glance(report).rows] == [
        arm.label.replace("random", "random*") for arm in report.arms
    ]


def test_one_arm_has_none_and_bars_are_of_profiles():
    assert glance(factory.dense_only()) is None
    report = factory.profiled()
    alone = replace(report, arms=report.arms[:1], comparisons=(), random_comparisons=())
    assert glance(alone) is None
    assert glance(report).spreads
    assert not glance(factory.report()).spreads


def test_twelve_arms_take_twelve_lines_of_eighty_columns():
    """But for two with the longest names."""
    lines = shown(factory.twelve_arms(), 80, terminal=True).splitlines()
    start = lines.index("Against dense")
    assert lines[start:].index("") == 2 + 12 + 2
    assert lines[start + 3].split() == [
        "v2drop", "3:0.5,17:0.3,22:0", "0.80x", "~1.00x", "1.16x", "39.2", "%", "same",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "name", ["plain", "profiled", "four_arms", "twelve_arms", "rivals", "dummy"]
)
def test_the_first_screen_has_the_finding_and_the_first_arms(name, width):
    """A terminal of 24 lines: the sentence whole, and the table begun."""
    report = factory.REPORTS[name]()
    screen = shown(report, width, terminal=True).splitlines()[:24]
    said, _ = finding(judged(report))
    assert said.replace(GLUE, " ") in " ".join(screen)
    start = screen.index("Against dense")
    assert screen[start + 2].startswith("  dense ")
    assert screen[start + 3].startswith("  v2drop ")


def test_bars_count_and_never_hide_a_sample():
    spread = Spread("a", (1.0,) * 90 + (1.999, 2.0, 1.5))
    drawn = bars(spread, (1.0, 2.0), 10)
    assert len(drawn) == 10
    assert drawn[0] == "█"
    assert [char != " " for char in drawn] == [True, *[False] * 4, True, *[False] * 3, True]
    assert bars(spread, (1.0, 2.0), 10, ASCII)[0] == "@"
    assert bars(Spread("a", (1.0, 2.0, 2.0)), (1.0, 2.0), 2) == "▄█"
    assert len(BLOCKS) == len(ASCII)


def test_equal_samples_are_one_bar():
    assert bars(Spread("a", (0.2,) * 5), (0.2, 0.2), 4) == "█   "


def test_the_axis_spans_all_arms_and_all_outliers():
    found = (Spread("a", (0.2, 0.3)), Spread("b", (0.1, 9.0)))
    assert range_of(found) == (0.1, 9.0)
    text = axis((0.1, 9.0), 30)
    assert (len(text), text.replace(GLUE, " ").split()) == (30, ["100", "ms", "9.00", "s"])


@pytest.mark.parametrize(("count", "drawn"), [(0, False), (4, False), (5, True), (200, True)])
def test_few_samples_have_no_picture(count, drawn):
    report = with_samples(count)
    assert (PLOT in shown(report, 100, terminal=True)) == drawn
    assert (f"{count} samples each" in shown(report, 100, terminal=True)) == drawn


@pytest.mark.parametrize(("width", "drawn"), [(40, False), (69, False), (70, True), (200, True)])
def test_narrow_terminals_have_no_picture(width, drawn):
    assert (PLOT in shown(factory.profiled(), width, terminal=True)) == drawn


def test_pipes_have_no_picture():
    assert PLOT not in shown(factory.profiled(), 200, terminal=False)


def test_long_names_leave_no_room_for_a_picture():
    report = factory.profiled()
    arms = [replace(arm, label=f"{arm.label} {'x' * 60}") for arm in report.arms]
    comparisons = [replace(c, arm=f"{c.arm} {'x' * 60}") for c in report.comparisons]
    long = replace(report, arms=tuple(arms), comparisons=tuple(comparisons), random_comparisons=())
    assert PLOT not in shown(long, 80, terminal=True)
    assert PLOT in shown(long, 160, terminal=True)


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "█"), ("ascii", "@"), ("cp1252", "@")])
def test_where_blocks_cannot_be_said_letters_draw(encoding, sign):
    text = shown(factory.profiled(), 100, terminal=True, encoding=encoding)
    line = next(line for line in text.splitlines() if line.startswith("  dense  ") and sign in line)
    assert line.count(sign) >= 4
