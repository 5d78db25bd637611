"""What is said as Markdown: reports, and plain tables."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.markdown import tables_to_markdown, to_markdown

BAR = re.compile(r"(?<!\\)(?:\\\\)*\|")  # one that an answer holds is escaped


@pytest.mark.parametrize("name", factory.REPORTS)
def test_the_finding_comes_first_and_every_table_has_even_rows(name):
    view = build_view(judged(factory.REPORTS[name]()))
    lines = to_markdown(view).splitlines()
    assert lines[2].startswith("**" if view.finding else "- **")
    tables = [line for line in lines if line.startswith("|")]
    assert tables
    for line, below in itertools.pairwise(lines):
        if line.startswith("|") and below.startswith("|"):
            assert len(BAR.findall(line)) == len(BAR.findall(below))


@pytest.mark.parametrize(("name", "turned"), [("rivals", True), ("four_arms", False)])
def test_many_arms_are_lines_and_few_are_columns(name, turned):
    report = factory.REPORTS[name]()
    text = to_markdown(build_view(judged(report)))
    [_, memory] = text.split("## Memory\n")
    head, _, *rows = [line for line in memory.splitlines() if line.startswith("|")]
    firsts = [row.split("|")[1].strip().replace("\\", "") for row in rows]
    names = [arm.label.replace("random", "random*") for arm in report.arms]
    assert (firsts == names) == turned
    assert ("KV cache" in head) == turned
    assert ("KV cache" in firsts) != turned


def test_a_sign_in_front_of_a_ratio_strikes_nothing_through():
    text = to_markdown(build_view(judged(factory.report())))
    assert "| \\~1.00x |" in text


def test_plain_tables_leave_out_what_nobody_says():
    rows = [{"name": "a|b", "of": ["x", "y"], "fix": None}, {"name": "c", "of": [], "fix": None}]
    assert tables_to_markdown("v2drop", {"First": rows, "Empty": []}) == (
        "# v2drop\n\n## First\n\n| name | of |\n| --- | --- |\n| a\\|b | x, y |\n| c | - |\n"
    )
