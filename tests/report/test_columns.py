"""Columns that do not fit beside each other come in groups, the reference in each."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.report import factory
from tests.report.regenerate import shown
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.columns import column_groups


def groups(name, width):
    found = column_groups(build_view(judged(factory.REPORTS[name]())), width)
    return None if found is None else [group.columns for group in found]


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("plain", 100, [(0, 1)]),
        ("plain", 69, None),
        ("four_arms", 80, [(0, 1, 2), (0, 3)]),
        ("four_arms", 120, [(0, 1, 2, 3)]),
        ("dense_only", 80, [(0,)]),
    ],
)
def test_as_few_groups_as_fit(name, width, expected):
    assert groups(name, width) == expected


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_every_arm_is_in_one_group_and_the_reference_in_all(width):
    found = groups("twelve_arms", width)
    assert all(group[0] == 0 for group in found)
    assert [at for group in found for at in group[1:]] == list(range(1, 12))


def test_a_column_that_fits_no_group_makes_blocks():
    report = factory.report(arms=(factory.dense(), factory.dropped(label="x" * 70)))
    assert column_groups(build_view(report), 100) is None


@pytest.mark.parametrize("width", [70, 80, 120])
def test_twelve_arms_stay_inside_and_say_each_name_over_its_column(width):
    text = shown(factory.twelve_arms(), width, terminal=True)
    assert max(map(cell_len, text.splitlines())) <= width
    heads = sum(line.split()[:1] == ["dense"] for line in text.splitlines())
    assert heads == len(groups("twelve_arms", width)) + 1  # and its row in the glance
