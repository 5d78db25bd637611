"""What `v2drop compare` says first, and what it keeps when quiet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.regenerate import changes
from v2drop_cli.records.changes import DIFFERS, FAILED, UNDECIDED, GateResult
from v2drop_cli.records.verdicts import FASTER, LESS, MORE, SAME, SLOWER, UNCLEAR
from v2drop_cli.report.compare_view import build_changes_view
from v2drop_cli.report.text import GLUE


def found(*arms, gates=(), **changed):
    """Arms of one metric → verdict each; all ratios are 1.25."""
    whole = changes()
    template = whole.arms[0].changes[0]
    made = tuple(
        replace(
            whole.arms[0],
            label=label,
            changes=tuple(
                replace(template, metric=metric, verdict=verdict, ratio=1.25)
                for metric, verdict in verdicts.items()
            ),
            **changed,
        )
        for label, verdicts in arms
    )
    return replace(whole, arms=made, gates=tuple(GateResult("g", False, None, g) for g in gates))


def said(*arms, **options):
    cell = build_changes_view(found(*arms, **options)).finding
    return cell.text.replace(GLUE, " ")


def tone(*arms, **options):
    return build_changes_view(found(*arms, **options)).finding.tone


def test_what_changed_is_named_with_its_arm():
    both = {"prefill": SLOWER, "decode": FASTER, "kv_cache": MORE, "prefill_flops": LESS}
    assert said(("v2drop", both)) == (
        "B is slower than A in prefill (v2drop 1.250x), is faster than A in decode per token "
        "(v2drop 1.250x), takes more KV cache (v2drop 1.250x), takes less prefill work "
        "(v2drop 1.250x)."
    )
    assert said(("a", {"prefill": SLOWER}), ("b", {"prefill": SLOWER})) == (
        "B is slower than A in prefill (a 1.250x, b 1.250x)."
    )
    many = [(name, {"prefill": SLOWER}) for name in "abc"]
    assert said(*many) == "B is slower than A in prefill (3 arms, at most 1.250x)."


def test_other_answers_are_a_change():
    same = ("v2drop", {"prefill": SAME})
    assert said(same, answers=DIFFERS) == "B gives another answer (v2drop)."
    three = [(name, {"prefill": SAME}) for name in "abc"]
    assert said(*three, answers=DIFFERS) == "B gives other answers in 3 arms."
    assert tone(same, answers=DIFFERS) == "bad"


def test_no_change_is_not_the_same_as_none_that_can_be_told():
    assert said(("a", {"prefill": SAME})) == "no change: B is as A in everything measured."
    unclear = ("a", {"prefill": UNCLEAR, "decode": SAME})
    assert said(unclear) == (
        "no change can be told: 1 of 2 values is unclear, the rest is the same."
    )
    assert said(("a", {"prefill": None})) == "nothing to compare."


def test_nothing_timed_is_not_no_change():
    whole = found(("a", {"prefill": None}))
    untimed = replace(whole.arms[0].changes[0], ratio=None, b=None)
    counted = replace(untimed, metric="kv_cache", unit="bytes", b=1.0, ratio=1.0, verdict=SAME)
    arm = replace(whole.arms[0], changes=(untimed, counted))
    cell = build_changes_view(replace(whole, arms=(arm,))).finding
    assert cell.text.replace(GLUE, " ").startswith("nothing was timed in both A and B")


def test_that_only_dense_can_be_compared_comes_first():
    whole = replace(found(("dense", {"prefill": FASTER})), only_in_a=("v2drop",), only_in_b=("x",))
    cell = build_changes_view(whole).finding
    assert cell.text.replace(GLUE, " ") == (
        "only dense is in both, no arm that drops; B is faster than A in prefill (dense 1.250x)."
    )


def test_gates_that_did_not_hold_are_counted():
    arm = ("a", {"prefill": SAME})
    assert said(arm, gates=(FAILED, FAILED, UNDECIDED)).endswith(
        "; 2 gates failed; 1 gate undecided."
    )
    assert tone(arm, gates=(FAILED,)) == "bad"
    assert tone(arm, gates=(UNDECIDED,)) == "plain"


@pytest.mark.parametrize(
    ("verdict", "expected"), [(SLOWER, "bad"), (MORE, "bad"), (FASTER, "good"), (SAME, "plain")]
)
def test_the_tone_is_of_the_worst(verdict, expected):
    assert tone(("a", {"prefill": verdict})) == expected
    assert tone(("a", {"prefill": verdict, "decode": SLOWER})) == "bad"


def test_quiet_keeps_the_sentence_the_changes_and_what_warns():
    full, quiet = (build_changes_view(changes(), quiet=q) for q in (False, True))
    assert quiet.finding == full.finding
    rows = [row for section in quiet.sections for row in section.rows]
    assert [row.label for row in rows] == ["prefill", "to first token"]
    kept = {fact.label for fact in quiet.footer}
    assert {fact.label for fact in full.footer} - kept == {"reading", "noise floor"}
    assert "gate failed" in kept
    assert not quiet.facts


def test_quiet_without_a_change_is_the_sentence_and_what_warns():
    view = build_changes_view(found(("a", {"prefill": SAME}), answers=SAME), quiet=True)
    assert (view.sections, view.columns) == ((), ())
    other = build_changes_view(found(("a", {"prefill": SAME}), answers=DIFFERS), quiet=True)
    assert [row.label for row in other.sections[0].rows] == ["answers"]
