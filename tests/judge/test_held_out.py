"""Whether a gain is there on rows that the search never saw."""

from __future__ import annotations

import pytest

from v2drop_cli.judge.held_out import _verdict, by_kl, by_score, tolerated

ONES, HALVES = [1.0, 0.8, 1.2] * 30, [0.5, 0.4, 0.6] * 30


def test_less_divergence_is_better():
    found = by_kl(HALVES, ONES)
    assert found.ratio == pytest.approx(0.5)
    assert found.ci95[0] <= 0.5 <= found.ci95[1] < 1
    assert (found.gained, found.lost, found.verdict) == (90, 0, "better")
    assert found.p_value < 1e-6
    assert by_kl(ONES, HALVES).verdict == "worse"
    assert (by_kl(ONES, HALVES).gained, by_kl(ONES, HALVES).lost) == (0, 90)


def test_what_varies_more_than_it_gains_is_unclear():
    mixed = [a * (0.2 if place % 2 else 1.8) for place, a in enumerate(ONES)]
    found = by_kl(mixed, ONES)
    assert found.ci95[0] < 1 < found.ci95[1]
    assert (found.verdict, found.gained, found.lost) == ("unclear", 45, 45)


def test_the_same_is_the_same():
    assert by_kl(ONES, ONES).verdict == "same"
    right = [1.0] * 400 + [0.0] * 20
    assert by_score(right, right).verdict == "same"
    assert by_score([1.0, 0.0], [1.0, 0.0]).verdict == "unclear"  # two rows say nothing, as in eval
    assert by_score([0.0, 0.0], [0.0, 0.0]).verdict == "unclear"
    nothing = by_kl([0.0] * 4, [0.0] * 4)
    assert (nothing.ratio, nothing.ci95, nothing.verdict) == (None, None, "same")


def test_more_score_is_better():
    right, wrong = [1.0] * 90, [1.0, 0.0, 1.0] * 30
    found = by_score(right, wrong)
    assert found.ratio == pytest.approx(1.5)
    assert (found.gained, found.lost, found.verdict) == (30, 0, "better")
    assert found.ci95[0] > 1
    lost = by_score(wrong, right)
    assert (lost.gained, lost.lost, lost.verdict) == (0, 30, "worse")
    assert by_score([0.0] * 5, [0.0] * 4 + [1.0]).verdict == "unclear"


def test_a_loss_is_within_a_limit_if_all_of_its_interval_is():
    assert tolerated((0.0, 0.01), 0.01) == "within"
    assert tolerated((0.01, 0.02), 0.01) == "unsure"
    assert tolerated((0.011, 0.02), 0.01) == "beyond"
    assert tolerated((0.0, 0.03), 0.01) == "unsure"
    assert tolerated(None, 0.01) == "unsure"


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        ((0.7, 0.9), "better"),
        ((1.1, 1.4), "worse"),
        ((0.9, 1.0), "unclear"),
        ((1.0, 1.1), "unclear"),
        ((0.9, 1.1), "unclear"),
        (None, "unclear"),
    ],
)
def test_an_interval_that_reaches_one_shows_nothing(ratio, verdict):
    assert _verdict(ratio) == verdict


def test_both_arms_are_of_the_same_rows():
    for compare in (by_kl, by_score):
        with pytest.raises(ValueError, match="zip"):
            compare([0.1, 0.2], [0.1])
