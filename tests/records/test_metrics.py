"""The one table of quantities: complete, consistent, and what everything else reads."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.report import factory
from v2drop_cli.judge import change_gates, value_gates
from v2drop_cli.judge.change_verdicts import Ruler, judge
from v2drop_cli.records import ArmResult, Comparison, Memory, Ratio, Timing
from v2drop_cli.records.metrics import METRICS, PAIRS, Kind, Metric, Place, metric
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.csv import to_csv
from v2drop_cli.units import NOT_AVAILABLE, format_value

MEASURING = Path(__file__).parents[2] / "docs" / "measuring.md"


def names(kind):
    return {field.name for field in dataclasses.fields(kind)}


def test_every_time_has_one_row_and_every_row_its_field():
    fields = [row.field for row in METRICS if row.kind is Kind.TIMED]
    assert sorted(fields) == sorted(names(Timing))
    assert all(row.field is None for row in METRICS if row.kind is not Kind.TIMED)


def test_every_ratio_of_a_comparison_has_a_row():
    rows = {row.against for row in METRICS if row.against} | {pair.name for pair in PAIRS}
    others = {"arm", "reference", "first_divergence", "verdicts"}
    assert rows == names(Comparison) - others


def test_every_size_and_count_of_an_arm_has_a_row():
    """Filling in one field at a time, so that no field is forgotten."""
    bare = factory.dense(memory=Memory(), energy_j=None, limit=None)
    for name in names(Memory):
        arm = replace(bare, memory=Memory(**{name: 7}))
        assert [row.name for row in METRICS if row.unit == "bytes" and row.of(arm) == 7], name
    assert metric("energy").of(replace(bare, energy_j=3.0)) == 3.0
    assert metric("energy").of(bare) is None
    assert metric("prefill_flops").of(bare) is None


def test_names_and_labels_are_each_of_one_row():
    for found in (
        [row.name for row in METRICS],
        [row.label for row in METRICS],
        [row.against for row in METRICS if row.against],
        [row.gate for row in METRICS if row.gate],
    ):
        assert len(set(found)) == len(found)


def test_rows_name_only_rows():
    for row in METRICS:
        for name in (*row.adds_up, *([row.part_of] if row.part_of else [])):
            assert metric(name).kind is Kind.TIMED
    for pair in PAIRS:
        assert pair.floor is None or metric(pair.floor).compared


def test_what_is_compared_with_the_reference_is_what_compare_judges_too():
    assert {row.name for row in METRICS if row.against} <= {
        row.name for row in METRICS if row.compared
    }


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_every_unit_can_be_read_and_what_is_missing_is_not_zero(row: Metric):
    assert format_value(row.unit, None) == NOT_AVAILABLE
    assert format_value(row.unit, 1.0) != format_value(row.unit, 2.0)
    nothing = factory.dense(timing=Timing(), memory=Memory(), energy_j=None, limit=None)
    if row.kind is Kind.TIMED:
        assert row.samples(nothing) is None
        assert row.of(nothing) is None
    elif row.unit != "tokens":
        assert row.of(nothing) is None


def test_gates_of_both_commands_take_what_the_table_says():
    """The contract: these names only grow."""
    assert set(change_gates.NAMES) == {
        *("vision", "prefill", "first_token", "decode", "generate", "end_to_end", "peak_memory"),
        *("kv_cache", "vision_tokens", "layer_average_vision_tokens", "prefill_flops", "answers"),
    }
    assert set(value_gates.NAMES) == {
        *("prefill_speedup", "decode_speedup", "generate_speedup", "peak_memory_ratio"),
        *("kv_cache_ratio", "ideal_prefill_speedup", "realised_over_ideal", "answers_identical"),
        *("token_agreement", "vision_tokens", "layer_average_vision_tokens", "prefill_flops"),
        *("last_vision_tokens", "kv_cache_bytes", "peak_bytes"),
    }


def test_the_docs_list_every_gate():
    page = MEASURING.read_text(encoding="utf-8")
    gates = page[page.index("## Gates") : page.index("## Two reports")]
    assert set(re.findall(r"`([a-z_]{5,})`", gates)) >= set(value_gates.NAMES)
    change = page[page.index("A gate\non what was not measured in both never passes") :]
    listed = set(re.findall(r"`([a-z_]+)`", change[: change.index("On a shared machine")]))
    assert listed == set(change_gates.NAMES)


def test_compare_judges_every_row_that_says_so():
    arm = factory.profiled().arms[1]
    found = judge(arm, arm, Ruler(0.02, {}))
    assert [change.metric for change in found] == [row.name for row in METRICS if row.compared]
    assert [change.unit for change in found] == [row.unit for row in METRICS if row.compared]


def test_tables_and_csv_show_every_time_of_the_table():
    report = factory.profiled()
    [time] = [s for s in build_view(report).sections if s.title.startswith("Time")]
    shown = [row.label.removeprefix("- ") for row in time.rows]
    assert shown == [row.label for row in METRICS if row.place is Place.TIME]
    stages = {line["stage"] for line in csv.DictReader(io.StringIO(to_csv(report)))}
    measured = {row.field for row in METRICS if any(map(row.samples, report.arms))}
    assert stages == measured


def test_a_ratio_of_a_time_has_an_interval_and_others_have_none():
    found = factory.comparison()
    for row in METRICS:
        if row.against:
            assert (row.speedup(found) is not None) == (row.kind is Kind.TIMED)
    assert metric("vision").ratio(found) is None


def test_realised_has_the_interval_of_its_speedup():
    [realised] = [pair for pair in PAIRS if pair.name == "realised_over_ideal"]
    found = factory.comparison(ideal_prefill_speedup=2.0, prefill_speedup=Ratio(1.0, (0.5, 1.5)))
    assert realised.of(found) == Ratio(0.5, (0.25, 0.75))
    assert realised.per(found) == 2.0
    assert realised.of(factory.comparison(ideal_prefill_speedup=None)) is None


def test_a_last_drop_leaves_the_last_count():
    last = metric("last_vision_tokens")
    arm: ArmResult = factory.dropped(drops=factory.drops(576, 288, 86))
    assert last.of(arm) == 86
    assert last.of(factory.dense()) == 576
