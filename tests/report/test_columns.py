"""A column per arm where they fit beside each other; else a line per arm, quantities in groups."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.report import factory
from tests.report.regenerate import shown
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.columns import INDENT, in_rows, side_by_side
from v2drop_cli.report.layout import GAP

MANY = ("four_arms", "twelve_arms", "rivals")


def view(name):
    return build_view(judged(factory.REPORTS[name]()))


def taken(widths):
    return INDENT + sum(widths) + GAP * (len(widths) - 1)


@pytest.mark.parametrize(
    ("name", "width", "there"),
    [
        ("plain", 100, True),
        ("plain", 69, False),
        ("four_arms", 80, False),
        ("four_arms", 120, True),
        ("rivals", 200, False),
        ("dense_only", 80, True),
    ],
)
def test_arms_stand_side_by_side_where_all_of_them_fit(name, width, there):
    widths = side_by_side(view(name), width)
    assert (widths is not None) == there
    assert not there or taken(widths) <= width


@pytest.mark.parametrize("width", [70, 80, 100, 120, 200])
@pytest.mark.parametrize("name", MANY)
def test_every_quantity_is_in_one_group_that_fits(name, width):
    found = view(name)
    sections = in_rows(found, width)
    for section, groups in zip(found.sections, sections, strict=True):
        places = [at for group in groups for at in group.rows]
        assert places == list(range(len(section.rows)))
        assert all(taken(group.widths) <= width for group in groups)
        assert all(len(group.widths) == 1 + len(group.rows) for group in groups)


def test_a_figure_that_fits_no_line_makes_blocks():
    report = factory.report(arms=(factory.dense(), factory.dropped(label="x" * 90)))
    assert side_by_side(build_view(report), 100) is None
    assert in_rows(build_view(report), 100) is None
    assert in_rows(view("rivals"), 69) is None


@pytest.mark.parametrize("width", [70, 80])
@pytest.mark.parametrize("name", MANY)
def test_a_line_per_arm_begins_with_its_name_in_every_table(name, width):
    text = shown(factory.REPORTS[name](), width, terminal=True)
    assert max(map(cell_len, text.splitlines())) <= width
    tables = sum(map(len, in_rows(view(name), width))) + 1  # and the glance
    for label in ("dense", "random*"):
        begins = sum(line.split()[:1] == [label] for line in text.splitlines())
        assert begins >= tables, label


def test_a_dozen_arms_take_one_line_each_in_a_table_of_eighty_columns():
    """Names as ``--budget`` makes them; no figure is broken, so only answers take two lines."""
    text = shown(factory.rivals(), 80, terminal=True)
    lines = text.splitlines()
    at = lines.index("Time (median)")
    assert lines[at + 1].split() == ["media", "decode", "preprocess", "vision", "prefill"]
    assert [line.split()[0] for line in lines[at + 2 : at + 14]] == [
        "dense", "v2drop", "random*", *list(factory.RIVALS)[2:],
    ]  # fmt: skip
    assert lines[at + 14] == ""
