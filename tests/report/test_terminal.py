from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from tests.report import factory
from tests.report.regenerate import CASES, GOLDEN, shown

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
DUMMY = "dummy weights: timings are real, answers are not"


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    golden = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert CASES[name]() == golden, "python -m tests.report.regenerate, then read the difference"


def test_no_golden_is_left_over():
    assert {path.stem for path in GOLDEN.glob("report_*.txt")} == set(CASES)


@pytest.mark.parametrize("width", [20, 40, 69, 70, 80, 100])
@pytest.mark.parametrize("name", factory.REPORTS)
def test_nothing_is_wider_than_the_terminal(name, width):
    lines = shown(factory.REPORTS[name](), width, terminal=True).split("\n")
    assert max(map(cell_len, lines)) <= width


def words(text: str) -> set[str]:
    return set(text.split())


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", ["plain", "dummy", "four_arms", "diverging"])
def test_every_form_says_the_same_and_cuts_no_number(name, width):
    report = factory.REPORTS[name]()
    full = words(shown(report, 200, terminal=True))
    some = words(shown(report, width, terminal=True))
    numbers = re.compile(r"[\d.,%±x\[\]()]+")
    assert {w for w in full if numbers.fullmatch(w)} <= some


@pytest.mark.parametrize("name", factory.REPORTS)
def test_a_pipe_gets_no_escape_codes_no_boxes_and_no_width(name):
    text = shown(factory.REPORTS[name](), 30, terminal=False, color=True)
    assert "\x1b" not in text
    assert not re.search("[\u2500-\u257f]", text)
    assert text == shown(factory.REPORTS[name](), 200, terminal=False)
    assert all(line == line.rstrip() for line in text.split("\n"))


@pytest.mark.parametrize("name", factory.REPORTS)
def test_colour_carries_no_meaning_of_its_own(name):
    report = factory.REPORTS[name]()
    coloured = shown(report, 100, terminal=True, color=True)
    assert ESCAPE.search(coloured)
    assert ESCAPE.sub("", coloured) == shown(report, 100, terminal=True)


def test_only_our_own_escapes_reach_the_terminal():
    text = shown(factory.hostile(), 100, terminal=True, color=True)
    rest = ESCAPE.sub("", text)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", rest
    )
    assert "\x1b[31mnor" not in text
    assert "[red]not red[/red]" in rest
    assert ":smile:" in rest


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16-le"])
@pytest.mark.parametrize("name", factory.REPORTS)
def test_any_encoding_can_show_it(name, encoding, terminal):
    text = shown(factory.REPORTS[name](), 100, terminal=terminal, encoding=encoding)
    if encoding == "ascii":
        unclear = re.compile(r"\?(?=\d| \w)")  # the sign in front of a ratio, and in the legend
        assert "?" not in unclear.sub("", text.replace("doing?", ""))
        assert "576 -> 288" in text or name == "dense_only" or name == "hostile"


@pytest.mark.parametrize("width", [40, 100])
def test_dummy_weights_are_labelled_loudly(width):
    text = " ".join(shown(factory.dummy_report(), width, terminal=True).split())
    assert text.startswith(f"WARNING {DUMMY}")
    assert text.endswith(f"warning {DUMMY}")
    assert "tiny, dummy weights" in text
    assert DUMMY not in shown(factory.report(), width, terminal=True)


def test_every_arm_says_in_a_block_of_its_own_that_its_answer_is_dummy():
    text = " ".join(shown(factory.dummy_report(), 40, terminal=True).split())
    assert text.count("weights)") == len(factory.dummy_report().arms)
