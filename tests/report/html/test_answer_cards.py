"""Answers side by side: where the mark is."""

from __future__ import annotations

import re

import pytest

from v2drop_cli.report.html.answer_cards import ENDS, Shown, parting, side_by_side


def marks(*texts):
    page = side_by_side(Shown("dense", texts[0]), [Shown("arm", text) for text in texts[1:]])
    return [re.findall("<mark>(.*?)</mark>", card) for card in page.split("</article>")[:-1]]


@pytest.mark.parametrize(
    ("reference", "other", "place"),
    [("a b", "a b", None), ("a bird", "a bear", 2), ("red", "red hat", 3), ("red", "reddish", 0),
     ("", "x", 0), ("x\ny one", "x\ny two", 4), ("a  b", "a b", 2)],
)  # fmt: skip
def test_a_difference_begins_with_its_word(reference, other, place):
    assert parting(reference, other) == place


def test_the_first_word_that_differs_is_marked_and_no_other():
    assert marks("a red hat", "a blue cap") == [["red"], ["blue"]]
    assert marks("same", "same") == [[], []]
    assert marks("one two", "one", "zero") == [["one"], [ENDS], ["zero"]]


def test_an_empty_answer_is_said_to_be_one():
    assert "(empty)" in side_by_side(Shown("dense", ""), [])
