"""What `v2drop eval` says of rows that can be counted."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.report.eval_factory import evaluated
from v2drop_cli.records import INTERRUPTED
from v2drop_cli.report.eval_finding import finding
from v2drop_cli.report.eval_view import build_eval_view, summarised_evaluation
from v2drop_cli.report.text import GLUE


def said(found):
    return finding(found)[0].replace(GLUE, " ")


def test_the_finding_names_what_each_arm_kept():
    assert said(evaluated()) == (
        "Dense scores 90.0 % on 200 rows; random budget 33% (62.2 %): lost score; "
        "v2drop budget 33% (101.1 %): not shown to differ from dense."
    )


def test_what_is_not_scored_is_told_by_its_fidelity():
    found = evaluated(fidelity=True, scored=False)
    assert said(found) == (
        "v2drop budget 33% gives dense's own answer in 194 of 200 and random budget 33% gives "
        "dense's own answer in 128 of 200."
    )
    view = build_eval_view(found)
    assert view.glance is None
    assert [section.title for section in view.sections] == [
        "Fidelity: along dense's own answers", "Tokens and time",
    ]  # fmt: skip


def test_a_partial_evaluation_and_dummy_weights_say_so_first():
    found = evaluated()
    data = replace(found.data, asked=400)
    found = replace(found, data=data, stopped_by=INTERRUPTED)
    assert said(found).startswith("Partial: Dense scores")
    footer = [fact.text for fact in build_eval_view(found).footer]
    assert "193 rows not asked yet: --resume" in footer
    dummy = replace(found.request, weights="dummy")
    assert said(replace(found, request=dummy)) == "Partial: Dummy weights: scores mean nothing."


def test_broken_rows_are_told_and_cannot_act_on_a_terminal():
    footer = {fact.label: fact.text for fact in build_eval_view(evaluated()).footer}
    assert footer["broken"] == "7 rows could not be asked"
    assert footer["row 200"] == r"no such file: \x1b[31m0.png"
    assert "row 205" not in footer


def test_the_document_is_json_and_its_keys_only_grow():
    found = summarised_evaluation(evaluated(fidelity=True), "v2drop eval x")
    document = json.loads(found.dumps())
    assert document["schema"] == "v2drop.eval/1"
    assert document["summary"] == said(found)
    assert {
        "arms", "broken", "command", "data", "environment", "request", "rows", "schema",
        "stopped_by", "summary", "warnings",
    } <= set(document)  # fmt: skip
    assert {
        "against_dense", "answer_tokens", "budget", "decode_s_per_token", "details", "fidelity",
        "groups", "label", "layer_average_vision_tokens", "method", "parameters", "prefill_s",
        "schedule", "score", "solved", "vision_tokens",
    } <= set(document["arms"][1])  # fmt: skip
    assert document["arms"][1]["against_dense"]["gained"] == 4
    assert document["arms"][1]["against_dense"]["lost"] == 2


def test_dense_alone_was_compared_with_nothing():
    found = evaluated(fidelity=True, scored=False)
    assert said(replace(found, arms=found.arms[:1])) == "Nothing was compared."
