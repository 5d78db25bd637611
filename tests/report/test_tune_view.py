"""What `v2drop tune` says: the rows held out have the last word."""

from __future__ import annotations

from dataclasses import replace

from tests.report.tune_factory import SCHEDULES, tuned
from v2drop_cli.records import DUMMY, INTERRUPTED
from v2drop_cli.report.text import GLUE
from v2drop_cli.report.tune_finding import finding
from v2drop_cli.report.tune_view import MOST_SHOWN, build_tune_view, summarised_tuning


def said(found):
    text, tone = finding(found)
    return text.replace(GLUE, " "), tone


def test_a_gain_that_carries_over():
    text, tone = said(tuned())
    assert text == (
        "v2drop 5:0.41,12:0.35 has 0.50x the KL divergence of the default (v2drop "
        "3:0.4691,17:0.4691,22:0) on calibration rows and 0.75x [0.67x, 0.83x] on rows held out: "
        "the gain carries over."
    )
    assert tone == "good"


def test_a_gain_that_does_not_is_told():
    text, tone = said(tuned(held_out=0.08))
    assert text.endswith("on rows held out: the gain is not shown to carry over.")
    assert tone == "plain"
    text, tone = said(tuned(held_out=0.16))
    assert "2.00x [" in text
    assert text.endswith("the gain does not carry over: it is worse than the default there.")
    assert tone == "bad"


def test_a_score_is_told_as_a_score():
    text, _ = said(tuned(by_score=True))
    assert "has 1.05x the score of the default" in text
    view = build_tune_view(tuned(by_score=True))
    assert view.glance.columns[0] == "score"
    labels = [row.label for section in view.sections for row in section.rows]
    assert "score to the default's" in labels


def test_a_tolerated_loss_is_judged_on_the_rows_held_out():
    text, tone = said(tuned(tolerate=0.02))
    assert text.startswith(
        f"v2drop {SCHEDULES[3]} keeps 30.3 % of the vision tokens and loses 1.0 %"
    )
    assert text.endswith("which is not shown to be within the 2.0 % tolerated.")
    assert tone == "plain"
    text, tone = said(replace(tuned(tolerate=0.02), tolerated="within"))
    assert text.endswith("which is within the 2.0 % tolerated.")
    assert tone == "good"
    text, tone = said(replace(tuned(tolerate=0.02), tolerated="beyond"))
    assert text.endswith("beyond the 2.0 % tolerated: the gain does not carry over.")
    assert tone == "bad"


def test_where_nothing_keeps_within_the_loss_the_least_is_told():
    text, tone = said(tuned(tolerate=0.001))
    assert text == (
        "None of 5 trials loses at most 0.1 %; the least is 1.0 %, by v2drop 5:0.41,12:0.35."
    )
    assert tone == "warn"
    view = build_tune_view(tuned(tolerate=0.001))
    assert view.sections == ()
    assert not [fact for fact in view.footer if fact.label == "use"]


def test_what_means_nothing_and_what_is_partial_say_so():
    found = tuned()
    dummy = replace(found, request=replace(found.request, weights=DUMMY))
    assert said(dummy) == ("Dummy weights: what is tuned on them means nothing.", "warn")
    partial = replace(
        found, stopped_by=INTERRUPTED, sides=(), search=replace(found.search, trials=40)
    )
    assert said(partial)[0] == "Partial: v2drop 5:0.41,12:0.35 is the best of 5 trials."
    [left] = [fact for fact in build_tune_view(partial).footer if fact.label == "partial"]
    assert left.text == "35 trials not made yet: --resume"


def test_the_table_shows_the_fronts_and_the_tuned_one():
    view = build_tune_view(tuned())
    marks = {row.label.replace(GLUE, " "): row.cells[-1].text for row in view.glance.rows}
    assert marks == {
        "v2drop 4:0.24": "FLOPs, time",
        "v2drop 8:0.3,20:0.02": "FLOPs, time",
        "v2drop 5:0.41,12:0.35": "FLOPs, time, tuned",
    }
    many = replace(
        tuned(),
        trials=tuple(replace(tuned().trials[1], number=n, schedule=f"{n}:0.5") for n in range(30)),
    )
    many = replace(many, tuned=29)
    shown = [row.label.replace(GLUE, " ") for row in build_tune_view(many).glance.rows]
    assert len(shown) == MOST_SHOWN
    assert shown[-1] == "v2drop 29:0.5"


def test_how_to_use_it_and_what_was_broken_stand_below():
    view = build_tune_view(tuned())
    facts = {fact.label: fact.text for fact in view.footer}
    assert facts["use"] == "--method v2drop --schedule 5:0.41,12:0.35"
    assert facts["row 200"] == "no such file: \\x1b[31m0.png"
    assert "only rows held out say something" in facts["reading"]


def test_the_summary_is_the_finding_without_glue():
    found = summarised_tuning(tuned(), "v2drop tune street")
    assert found.summary == said(found)[0]
    assert (found.command, GLUE in found.summary) == ("v2drop tune street", False)
