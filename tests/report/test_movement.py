"""How the tokens moved, in words: two numbers a layer, and what is mostly shared is said so."""

from __future__ import annotations

from dataclasses import replace

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Movement
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.movement import MOSTLY_SHARED, READING, TITLE
from v2drop_cli.report.text import GLUE


def table(report):
    sections = [one for one in build_view(judged(report)).sections if one.title == TITLE]
    return {
        row.label.replace(GLUE, " "): [cell.text.replace(GLUE, " ") for cell in row.cells]
        for section in sections
        for row in section.rows
    }


def test_each_layer_has_two_rows_and_arms_without_it_a_dash():
    assert table(factory.explained()) == {
        "layer 3: shared update": ["-", "0.93 mostly shared", "-"],
        "layer 3: spread of scores": ["-", "0.12", "-"],
        "layer 17: shared update": ["-", "0.31", "-"],
        "layer 17: spread of scores": ["-", "0.44", "-"],
        "layer 22: shared update": ["-", "n/a", "-"],
        "layer 22: spread of scores": ["-", "n/a", "-"],
    }


def test_mostly_shared_begins_where_half_of_the_squared_update_is():
    def cell(share):
        moved = (Movement(3, 9, share, 0.5),)
        arm = replace(factory.dropped(), movements=moved)
        return table(factory.report(arms=(factory.dense(), arm)))["layer 3: shared update"][1]

    assert cell(MOSTLY_SHARED) == "0.71 mostly shared"
    assert cell(0.7099) == "0.71"
    assert abs(MOSTLY_SHARED**2 - 0.5) < 0.01


def test_how_to_read_it_is_said_where_it_is_there():
    said = {fact.label: fact.text for fact in build_view(factory.explained()).footer}
    assert said["explained"] == READING
    assert table(factory.profiled()) == {}
    assert "explained" not in {fact.label for fact in build_view(factory.profiled()).footer}
