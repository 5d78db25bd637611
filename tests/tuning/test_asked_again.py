"""Questions asked again and again: what is kept of dense, and what an arm makes of it."""

from __future__ import annotations

import json

import pytest

from tests.tasks.questions_file import add_line
from v2drop_cli.bench.answering import answer
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.asking import How
from v2drop_cli.bench.fidelity import Along
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.watch import Watch
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.records import DENSE
from v2drop_cli.schedule import Schedule
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.scores.known import metric_of
from v2drop_cli.tuning.asked_again import Questions
from v2drop_cli.tuning.worth import cost, flops_of, loss, quality

DROPPED = Arm("x", "v2drop", Schedule.parse("1:0.3,4:0.5"))
NOTHING = Arm("y", "v2drop", Schedule.parse("2:1.0"))
HOW = How(metric_of("exact_match"), max_new_tokens=4, frames=2)


def asked(loaded, path, size=1, watch=None):
    found = Questions(loaded, HOW, size)
    found.take(Jsonl(str(path)).rows(), watch or Watch())
    return found


def test_it_is_the_fidelity_that_eval_measures_row_by_row(loaded, path):
    [rows] = asked(loaded, path, 4).along([DROPPED], Watch())
    clock = clock_for(loaded.device)
    assert [row.row for row in rows] == list(range(6))
    for row, one in zip(Jsonl(str(path)).rows(), rows, strict=True):
        inputs = loaded.prepare(row.show(2), row.prompt)
        [said] = answer(loaded, inputs, Arm(DENSE), clock, 4)
        kept = Along(loaded, inputs, said.tokens).led(DROPPED)
        assert one.kl == pytest.approx(kept.kl, rel=1e-3, abs=1e-6)
        assert one.agreement == pytest.approx(kept.agreement)
        [own] = answer(loaded, inputs, DROPPED, clock, 4)
        assert one.share * one.vision == pytest.approx(own.layer_average)
        assert one.text + one.vision == inputs.tensors["input_ids"].shape[1]
    assert sum(row.kl for row in rows) > 0


def test_dense_keeps_to_itself_and_so_does_what_drops_nothing(loaded, path):
    for rows in asked(loaded, path, 4).along([Arm(DENSE), NOTHING], Watch()):
        assert {(row.kl, row.agreement, row.share) for row in rows} == {(0.0, 1.0, 1.0)}
        assert all(row.prefill_s > 0 for row in rows)


def test_scores_are_of_the_arms_own_answers(loaded, path):
    """Every question is answered by what dense says, so that dense is right."""
    questions = asked(loaded, path, 2)
    assert [row.score for row in questions.dense] == [0.0] * 6
    lines = []
    for row in Jsonl(str(path)).rows():
        [said] = answer(
            loaded, loaded.prepare(row.show(2), row.prompt), Arm(DENSE), clock_for(loaded.device), 4
        )
        lines.append(loaded.decode(said.tokens))
    given = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = (
        json.dumps({**one, "answers": [said or "?"]})
        for one, said in zip(given, lines, strict=True)
    )
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    again = asked(loaded, path, 2)
    right = {row.row for row in again.dense if row.score == 1}
    assert right == {number for number, text in enumerate(lines) if text.strip()}
    same, dropped = again.scored([NOTHING, DROPPED], Watch())
    assert [row.score for row in same] == [
        row.score for row in sorted(again.dense, key=lambda r: r.row)
    ]
    assert {row.kl for row in dropped} == {None}
    assert quality((), same).kl is None
    assert loss(quality((), same), quality((), again.dense), by_score=True) == 0


def test_work_is_that_of_the_prompt_alone(loaded, path):
    """In a batch, padding is no work; `profile` counts the same."""
    flops = flops_of(loaded)
    [rows] = asked(loaded, path, 6).along([DROPPED], Watch())
    with Nvml(loaded.device) as nvml:
        for row, one in zip(Jsonl(str(path)).rows(), rows, strict=True):
            passes = Passes(Subject(loaded, row.show(2), row.prompt), nvml)
            assert flops(one) == passes.limit(DROPPED).prefill_flops
    found = cost(rows, flops)
    assert found.prefill_flops == pytest.approx(sum(map(flops, rows)) / 6)
    assert found.share == pytest.approx(sum(row.share for row in rows) / 6)
    assert cost(rows, lambda row: None).prefill_flops is None


def test_rows_that_cannot_be_asked_are_told(loaded, path):
    add_line(path, image="gone.png", question="what?", answer="red")
    found = asked(loaded, path, 4)
    assert found.count == 6
    assert [one.row for one in found.broken] == [6]
    assert "gone.png" in found.broken[0].reason


def test_an_interrupt_is_no_broken_row(loaded, path):
    def check():
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt

    calls = []
    with pytest.raises(KeyboardInterrupt):
        asked(loaded, path, watch=Watch(check=check))
