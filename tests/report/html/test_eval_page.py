"""The page of an evaluation: tables, front, document, and hostile text that stays text."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.report.eval_factory import evaluated, rows
from tests.report.html.test_pages import EVIL, Read, saved
from v2drop_cli.records.evaluation import BrokenRow
from v2drop_cli.report.eval_view import summarised_evaluation
from v2drop_cli.report.html.eval_page import MOST_BROKEN, Parted, eval_to_html
from v2drop_cli.report.html.parted_rows import parted_rows


def page_of(found):
    return eval_to_html(found, Parted(parted_rows(found, rows())))


def test_the_page_says_what_the_terminal_says_and_holds_the_document():
    found = summarised_evaluation(evaluated(fidelity=True), "v2drop eval street.jsonl")
    page = page_of(found)
    text, name = saved(page)
    assert (json.loads(text), name) == (json.loads(found.dumps()), "evaluation.json")
    read = Read(page)
    assert found.summary in " ".join(read.texts["h1"]).replace("\u00a0", " ")
    assert "v2drop eval street.jsonl" in read.text
    assert [
        name for name in read.ids if not name.startswith("term-")
    ] == [
        "glance", "front", "fidelity", "answers", "groups", "numbers", "broken", "measured",
        "environment", "terms",
    ]  # fmt: skip
    assert len(page) < 200_000


def test_numbers_lead_to_their_definitions_and_all_are_used():
    read = Read(page_of(evaluated(fidelity=True)))
    linked = {link.removeprefix("#term-") for link in read.links if link.startswith("#term-")}
    assert linked == {name.removeprefix("term-") for name in read.ids if name.startswith("term-")}
    assert {
        "arm", "score", "retention", "gained", "p", "row_speedup", "front", "kl", "likeliest",
        "diverged", "prefill", "decode", "vision_tokens",
    } <= linked  # fmt: skip


def test_the_front_is_of_scores_and_prefill_times():
    page = page_of(evaluated()).replace("\u00a0", " ")
    part = page.split('id="front"')[1].split("<section")[0]
    assert "score</a> against median prefill" in part
    assert "<b>dense</b> 90.0 % [85.1 %, 93.4 %] at 80.0 ms</li>" in part
    assert "91.0 % [86.2 %, 94.2 %] at 40.0 ms on the front</li>" in part
    assert part.count('class="spot random"') == part.count('class="spot dense"') == 1


def test_without_times_it_is_of_tokens_and_without_scores_of_fidelity():
    found = evaluated(fidelity=True, scored=False)
    page = page_of(found).replace("\u00a0", " ")
    assert "likeliest token agrees</a> against median prefill" in page
    assert "<b>v2drop budget 33%</b> 90.0 % at 40.0 ms" in page
    assert 'id="glance"' not in page
    arms = tuple(replace(arm, prefill_s=None) for arm in found.arms)
    page = eval_to_html(replace(found, arms=arms)).replace("\u00a0", " ")
    assert "against vision tokens, layer average" in page
    assert "<b>v2drop budget 33%</b> 90.0 % at 192" in page


def test_what_means_nothing_or_cannot_be_drawn_is_left_out():
    found = evaluated()
    dummy = replace(found, request=replace(found.request, weights="dummy"))
    assert 'id="front"' not in eval_to_html(dummy)
    alone = replace(found, arms=found.arms[:1], broken=())
    page = eval_to_html(alone)
    assert 'id="front"' not in page
    assert 'id="broken"' not in page
    neither = evaluated(scored=False)
    assert 'id="front"' not in eval_to_html(neither)


def test_broken_rows_are_listed_up_to_a_bound():
    found = evaluated()
    many = tuple(BrokenRow(at, f"gone: {at}.png") for at in range(MOST_BROKEN + 5))
    page = eval_to_html(replace(found, broken=many))
    assert "205 rows could not be asked" in page
    assert page.count("gone: ") == MOST_BROKEN
    assert page.count("gone: 3.png") == 1


def test_hostile_text_stays_text():
    found = evaluated(fidelity=True)
    dense, arm, random = found.arms
    groups = (replace(dense.groups[0], group=EVIL),)
    evil = replace(
        found,
        data=replace(found.data, name=EVIL),
        request=replace(found.request, model=EVIL),
        arms=(replace(dense, groups=groups), replace(arm, label=EVIL, groups=groups), random),
        broken=(BrokenRow(0, EVIL),),
        environment={EVIL: EVIL},
        command=EVIL,
    )
    read = Read(eval_to_html(evil))
    assert read.tags.count("script") == 1
    assert "img" not in read.tags
    assert read.text.count(EVIL) >= 8
