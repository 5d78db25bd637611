"""Each metric against examples worked by hand, and the cases that its source publishes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from v2drop_cli.errors import UnknownNameError, UsageError
from v2drop_cli.tasks.rows import Row
from v2drop_cli.tasks.scores.anls import anls, edit_distance
from v2drop_cli.tasks.scores.exact_match import exact_match
from v2drop_cli.tasks.scores.known import METRICS, metric_of
from v2drop_cli.tasks.scores.multiple_choice import letter
from v2drop_cli.tasks.scores.relaxed_accuracy import relaxed_accuracy
from v2drop_cli.tasks.scores.vqa_accuracy import normalised, vqa_accuracy
from v2drop_cli.tasks.scores.yes_no import said, yes_no_details


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("Red", ["red"], 1), ("red.", ["Red"], 1), (" dark  red ", ["dark red"], 1), ("", [""], 1),
        ("a red", ["red"], 0), ("red blue", ["redblue"], 0), ("3", ["three", "3"], 1),
    ],
)  # fmt: skip
def test_exact_match(answer, right, score):
    assert exact_match(answer, right) == score


@pytest.mark.parametrize(
    ("same", "score"),
    # Of ten people, so many said the answer; the page's example: 3 of 10 are 0.9, 4 are all.
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)],
)
def test_vqa_accuracy_of_ten_people(same, score):
    people = ["cat"] * same + [f"dog {number}" for number in range(10 - same)]
    assert vqa_accuracy("cat", people) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        # visualqa.org/evaluation, rule by rule.
        ("YES", "yes"), ("end.", "end"), ("10.5", "10.5"), ("Two", "2"), ("none", "0"),
        ("the a an cat", "cat"), ("dont", "don't"), ("don't", "don't"), ("wont", "won't"),
        ("a/b", "b"), ("x/y", "x y"), ("100,978", "100978"), ("cat, dog", "cat dog"),
        ("o'clock", "o'clock"), ("10:30", "10:30"), ("what?!", "what"), ("tea-cup", "tea cup"),
    ],
)  # fmt: skip
def test_vqa_normalisation(text, alike):
    assert normalised(text) == alike
    assert vqa_accuracy(text, [alike] * 10) == 1.0


CHOICES = ("a red circle", "a blue circle", "a circle", "nothing")


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("B", "B"), ("b", "B"), ("(b)", "B"), ("B.", "B"), ("B: a blue circle", "B"),
        ("The answer is C", "C"), ("(A) is wrong, so (D)", "D"), ("A blue circle", "B"),
        ("it is a red circle", "A"), ("a circle", "C"), ("nothing", "D"), ("E", None), ("", None),
        ("I cannot say", None), ("A.", "A"), ("Answer: D", "D"),
    ],
)  # fmt: skip
def test_the_letter_of_an_answer(answer, found):
    assert letter(answer, CHOICES) == found


@pytest.mark.parametrize(
    ("answer", "judged"),
    [
        ("Yes, there is a dog.", "yes"), ("No.", "no"), ("There is not.", "no"), ("no,", "no"),
        ("Yes. There is no cat.", "yes"), ("nobody", "yes"), ("", "yes"), ("I do not see it", "no"),
    ],
)  # fmt: skip
def test_yes_and_no_as_pope_reads_them(answer, judged):
    assert said(answer) == judged


@pytest.mark.parametrize("right", ["blue", "", "nothing", "a dog"])
def test_what_is_neither_yes_nor_no_is_not_scored_as_if_it_were(right):
    asked = Row(0, "is it?", (right,), lambda frames: [])
    with pytest.raises(UsageError, match="neither yes nor no"):
        METRICS["yes_no"].score("red", asked)
    for sound in ("yes", "No.", "Yes, there is one"):
        METRICS["yes_no"].score("red", replace(asked, answers=(sound,)))


def test_pope_by_hand():
    """TP 3, FP 1, FN 2, TN 4."""
    pairs = [("yes", "yes")] * 3 + [("yes", "no")] + [("no", "yes")] * 2 + [("no", "no")] * 4
    found = yes_no_details(pairs)
    assert found["precision"] == 3 / 4
    assert found["recall"] == 3 / 5
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["yes_ratio"] == 4 / 10  # of the answers; the labels' is 5 / 10
    assert set(yes_no_details([("no", "no")]).values()) == {0.0}


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("105", "100", 1), ("105.1", "100", 0), ("95", "100", 1), ("-95", "-100", 1),
        ("95", "-100", 0), ("50%", "0.5", 1), ("0.5", "50%", 1), ("0", "0", 1), ("0.0", "0", 0),
        ("Blue", "blue", 1), ("blues", "blue", 0), ("5", "five", 0), ("nan", "nan", 1),
        ("inf", "100", 0), (" 7 ", "7", 1),
    ],
)  # fmt: skip
def test_relaxed_accuracy(answer, right, score):
    assert relaxed_accuracy(answer, [right]) == score


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("Hello", ["hello"], 1), ("helo", ["hello"], 0.8), ("hell", ["help"], 0.75),
        ("ab", ["ac"], 0), ("abc", ["abd", "abc "], 1), ("", ["abc"], 0), ("abcd", ["abxx"], 0),
        # Half of the letters and one more: 3 of 5.
        ("abcxx", ["abcde"], 0.6),
    ],
)  # fmt: skip
def test_anls(answer, right, score):
    assert anls(answer, right) == pytest.approx(score)


def test_edit_distance_is_symmetric_and_takes_empty_texts():
    assert edit_distance("", "") == 0
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance("flaw", "lawn") == edit_distance("lawn", "flaw") == 2


def test_every_metric_scores_a_row_and_names_its_source():
    row = Row(0, "which?", ("B",), lambda frames: [], ("no", "yes"))
    claim = replace(row, answers=("yes",))
    for metric in METRICS.values():
        assert 0 <= metric.score("B", claim if metric.name == "yes_no" else row) <= 1
        assert metric.source
    assert metric_of("multiple_choice").score("yes", row) == 1
    assert row.prompt.splitlines()[1:3] == ["A. no", "B. yes"]
    with pytest.raises(UnknownNameError):
        metric_of("bleu")
