"""Which rows are shown, and what stands beside dense's answer."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.report.eval_factory import evaluated, rows
from tests.report.html.test_pages import EVIL, Read
from v2drop_cli.records.journal import RowResult
from v2drop_cli.report.html.markup import joined
from v2drop_cli.report.html.parted_rows import (
    MOST_CARDS,
    MOST_CHARACTERS,
    MOST_ROWS,
    parted_cards,
    parted_rows,
)
from v2drop_cli.tasks.rows import Row

V2DROP, RANDOM = "v2drop budget 33%", "random budget 33%"


def answered(result, **texts):
    """``result`` with other answers, of the same score."""
    arms = {
        label: replace(said, text=texts.get(label.split()[0], said.text))
        for label, said in result.arms.items()
    }
    return replace(result, arms=arms)


def test_gained_and_lost_rows_come_first_in_the_order_of_the_data():
    """The three arms are alike in rows 4 to 19, which are all wrong, and from 90 on."""
    results = rows()
    results[150] = answered(results[150], random="aye")
    found = [row.row for row in parted_rows(evaluated(), iter(results))]
    assert found == [0, 1, 2, 3, *range(20, 90), 150]


def test_broken_rows_and_those_not_asked_are_not_shown():
    found = evaluated()
    broken = RowResult(0, None, None, broken="no such file")
    found = replace(found, data=replace(found.data, asked=3))
    assert [row.row for row in parted_rows(found, [broken, *rows()[1:]])] == [1, 2]


def test_a_row_shows_dense_and_the_arms_that_part_from_it():
    found = evaluated()
    parted = parted_rows(found, rows())
    asked = Row(0, "is there a tram?", ("yes", "yes", "aye"), lambda frames: ())
    page = joined(parted_cards(found, parted, {0: asked}))
    assert f"{MOST_ROWS} of the 74 rows" in page
    first, second, third, *_ = page.replace("\u00a0", " ").split('class="parted"')[1:]
    assert "Row 0, street 0" in first
    assert "is there a tram?" in first
    assert "right: yes and aye" in first
    assert re.findall("<h3>([^<]*)</h3>", first) == ["Row 0, street 0", "dense", V2DROP, RANDOM]
    assert re.findall('verdict (\\w+)">([^<]*)<', first) == [
        ("muted", "score 0.0 %"),
        ("good", "gained: score 100.0 %"),
        ("good", "gained: score 100.0 %"),
    ]
    assert "as dense" not in first
    assert "is there" not in second
    assert f"as dense: {RANDOM}" in third


def test_an_arm_that_loses_says_so():
    found = evaluated()
    [lost] = [row for row in parted_rows(found, rows()) if row.row == 50]
    page = joined(parted_cards(found, [lost], {})).replace("\u00a0", " ")
    assert 'verdict bad">lost: score 0.0 %' in page


def test_other_words_of_the_same_score_are_no_loss():
    page = joined(parted_cards(evaluated(), [answered(rows()[150], random="aye")], {}))
    assert 'verdict muted">score' in page
    assert "lost:" not in page


def test_without_scores_there_is_no_verdict():
    found = evaluated(scored=False)
    parted = parted_rows(found, rows(scored=False))
    page = joined(parted_cards(found, parted, {}))
    assert "verdict" not in page
    assert "<mark>yes</mark>" in page


def test_nothing_parted_nothing_shown():
    assert parted_rows(evaluated(), rows()[100:]) == []
    assert parted_cards(evaluated(), [], {}) is None


def test_many_arms_and_long_answers_are_cut():
    found = evaluated()
    dense, arm, _ = found.arms
    labels = [f"arm {at}" for at in range(MOST_CARDS + 3)]
    found = replace(found, arms=(dense, *(replace(arm, label=label) for label in labels)))
    said = rows()[0].arms["dense"]
    arms = {label: replace(said, text="x" * 5000) for label in labels}
    page = joined(parted_cards(found, [RowResult(0, None, None, {"dense": said, **arms})], {}))
    assert page.count('class="card"') == 1 + MOST_CARDS
    assert "3 more arms answer otherwise" in page
    assert page.count("x" * MOST_CHARACTERS + "</mark>") == 0
    assert page.count("x" * MOST_CHARACTERS + "…") == MOST_CARDS


def test_hostile_questions_and_answers_stay_text():
    found = evaluated()
    result = replace(answered(rows()[150], random=EVIL), group=EVIL)
    asked = Row(150, EVIL, (EVIL,), lambda frames: (), (EVIL, EVIL))
    read = Read(joined(parted_cards(found, [result], {150: asked})))
    assert {"img", "script", "a"} & set(read.tags) == set()
    assert read.text.count("<svg onload=alert(1)>") >= 5
