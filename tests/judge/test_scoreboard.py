"""From rows to scores, and what one arm keeps of dense's, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from v2drop_cli.judge.paired import Pairs, binary_ratio_interval, graded_ratio_interval, wilson
from v2drop_cli.judge.scoreboard import MARGIN, against, filled, retention_verdict, score_of
from v2drop_cli.records.evaluation import BETTER, SAME, UNCLEAR, WORSE, ArmScores
from v2drop_cli.records.journal import ArmAnswer, RowResult


def said(score=None, **changes):
    return replace(ArmAnswer("", (), score, 1, 1.0, 0.1, None), **changes)


def answers(*scores):
    return [said(score) for score in scores]


def rows(dense, arm, groups=None, label="arm"):
    groups = groups or [None] * len(dense)
    return [
        RowResult(number, group, None, {"dense": theirs, label: ours})
        for number, (theirs, ours, group) in enumerate(zip(dense, arm, groups, strict=True))
    ]


def made(found, label="arm"):
    bare = ArmScores(
        label, "v2drop", {"a": 1}, "2:0.5", None, (), None, (), {"f1": 0.5}, 0.0, 0.0, 0.0, None,
        None, None, None,
    )  # fmt: skip
    return filled(bare, "dense", found)


def test_an_arm_is_filled_with_what_its_own_rows_say():
    ours = [
        said(tokens=(5,), vision_tokens=576, layer_average=100.0, prefill_s=0.1),
        said(
            tokens=(5, 6, 2), vision_tokens=288, layer_average=60.0, prefill_s=0.4,
            decode_s_per_token=0.02,
        ),
        said(
            tokens=(5, 2), vision_tokens=576, layer_average=80.0, prefill_s=0.2,
            decode_s_per_token=0.05,
        ),
    ]  # fmt: skip
    found = made(rows([said(tokens=(9,) * 40)] * 3, ours))
    assert (found.vision_tokens, found.layer_average_vision_tokens) == (480, 80.0)
    assert (found.answer_tokens, found.prefill_s) == (2.0, 0.2)
    assert found.decode_s_per_token == pytest.approx(0.035)  # one row had no later token
    assert (found.label, found.method, found.details) == ("arm", "v2drop", {"f1": 0.5})
    assert (found.score, found.groups, found.fidelity) == (None, (), None)
    assert found.against_dense.prefill_speedup == pytest.approx(0.5)
    assert made(rows(ours, ours), "dense").against_dense is None
    assert made(rows(ours, ours, label="v2drop"), "v2drop").against_dense is not None
    assert made(rows(ours[:1], ours[:1])).decode_s_per_token is None


def test_a_score_is_the_mean_of_rows_that_all_have_one():
    found = score_of("cats", answers(1.0, 0.0, 0.5, 1.0))
    assert (found.group, found.rows, found.mean) == ("cats", 4, 0.625)
    assert found.ci95 == wilson(0.625, 4)
    assert score_of(None, answers(1.0, None)) is None
    assert score_of(None, []) is None


def test_groups_are_scored_by_name_and_rows_without_one_in_none():
    arm = answers(1.0, 0.0, 1.0, 1.0, 0.0)
    found = made(rows(answers(*[1.0] * 5), arm, ["b", "a", "b", None, "b"]))
    assert [(one.group, one.rows) for one in found.groups] == [("a", 1), ("b", 3)]
    assert [one.mean for one in found.groups] == [0.0, pytest.approx(2 / 3)]
    assert found.score.mean == 0.6
    assert found.score.group is None
    assert made(rows([said()], [said()], ["a"])).groups == ()


def test_how_far_an_arm_keeps_to_dense():
    dense = [said(tokens=(1, 2)), said(tokens=(3, 4)), said(tokens=(5, 6)), said(tokens=(7,))]
    arm = [
        said(tokens=(1, 2), kl=0.0, agreement=1.0),
        said(tokens=(3, 9), kl=0.5, agreement=0.5, first_divergence=1),
        said(tokens=(0,), kl=0.25, agreement=0.0, first_divergence=4),
        said(tokens=(7,)),  # nobody looked
    ]
    found = made(rows(dense, arm)).fidelity
    assert (found.rows, found.kl, found.kl_most, found.agreement) == (3, 0.25, 0.5, 0.5)
    assert (found.diverged, found.first_divergence, found.equal) == (2, 2.5, 2)
    still = made(rows(dense[:1], arm[:1])).fidelity
    assert (still.rows, still.diverged, still.first_divergence, still.equal) == (1, 0, None, 1)
    assert made(rows(dense[3:], arm[3:])).fidelity is None


def test_a_speed_up_is_the_middle_one_of_all_rows():
    dense = [said(prefill_s=time_s) for time_s in (0.1, 0.6, 0.9)]
    arm = [said(prefill_s=time_s) for time_s in (0.1, 0.2, 0.1)]
    assert against(arm, dense).prefill_speedup == pytest.approx(3.0)
    # A clock that saw nothing says nothing.
    assert against([said(prefill_s=0.0)], [said(prefill_s=0.1)]).prefill_speedup == 1.0


def test_two_arms_were_asked_the_same_rows():
    with pytest.raises(ValueError, match="shorter"):
        against(answers(1, 1), answers(1))
    with pytest.raises(ValueError, match="shorter"):
        against(answers(1, 1), answers(1, None))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        against(answers(None), answers(None, None))


def test_an_arm_against_dense_row_by_row():
    ours, theirs = answers(1, 1, 0, 0, 1), answers(1, 0, 1, 1, 1)
    found = against(ours, theirs)
    assert (found.gained, found.lost) == (1, 2)
    assert found.retention == 3 / 4
    assert found.ci95 == binary_ratio_interval(Pairs(both=2, gained=1, lost=2))
    assert found.p_value == 1.0
    assert found.verdict == "unclear"
    assert found.prefill_speedup == 1.0


def test_verdicts_say_what_the_interval_shows():
    def verdict(both, gained, lost):
        rows = [(1, 1)] * both + [(1, 0)] * gained + [(0, 1)] * lost
        return against(answers(*(a for a, _ in rows)), answers(*(b for _, b in rows))).verdict

    assert verdict(200, 0, 0) == "same"
    assert verdict(20, 0, 0) == "unclear"  # twenty rows cannot show it
    assert verdict(150, 1, 40) == "worse"
    assert verdict(150, 40, 1) == "better"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (None, UNCLEAR),
        ((1 / 1.02, 1.02), SAME),
        ((0.9803, 1.0), UNCLEAR),
        ((0.99, 1.0201), UNCLEAR),
        ((0.9803, 0.9999), WORSE),
        ((0.5, 1.0), UNCLEAR),
        ((1.0001, 1.5), BETTER),
        ((1.0, 1.5), UNCLEAR),
        ((1.01, 1.02), SAME),
        ((0.9, 1.1), UNCLEAR),
    ],
)
def test_as_good_is_what_lies_within_two_per_cent_of_dense(interval, verdict):
    assert MARGIN == 0.02
    assert retention_verdict(interval) == verdict


def test_what_is_not_scored_and_what_dense_has_all_wrong():
    unscored = against(answers(None, None), answers(None, None))
    assert (unscored.retention, unscored.ci95, unscored.verdict) == (None, None, None)
    assert (unscored.gained, unscored.lost, unscored.p_value) == (0, 0, None)
    assert against(answers(1, None), answers(1, None)).retention is None
    assert unscored.prefill_speedup == 1.0
    found = against(answers(1, 1), answers(0, 0))
    assert (found.retention, found.ci95, found.verdict) == (None, None, None)
    assert (found.gained, found.lost, found.p_value) == (2, 0, 0.5)


def test_grades_are_compared_by_grades():
    ours, theirs = (0.6, 0.9, 1.0, 0.3), (0.9, 0.9, 1.0, 0.6)
    found = against(answers(*ours), answers(*theirs))
    assert (found.gained, found.lost) == (0, 2)
    assert found.retention == pytest.approx(2.8 / 3.4)
    assert found.ci95 == graded_ratio_interval(ours, theirs)
    # One grade among right and wrong is enough, on either side.
    for ours, theirs in (((1, 0, 0.5), (1, 1, 1)), ((1, 0, 1), (1, 1, 0.5))):
        found = against(answers(*ours), answers(*theirs))
        assert found.retention == pytest.approx(sum(ours) / sum(theirs))
        assert found.ci95 == graded_ratio_interval(ours, theirs)
