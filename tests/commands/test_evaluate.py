"""`v2drop eval` without a command line: batches, kills, broken rows, fidelity."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

import v2drop_cli
from tests.checkpoints import save_checkpoint
from tests.tasks.questions_file import add_line, write_questions
from v2drop_cli.bench import asking
from v2drop_cli.bench.answering import Answered
from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.bench.asking import How
from v2drop_cli.bench.watch import Watch
from v2drop_cli.commands import evaluate as evaluating
from v2drop_cli.commands.evaluate import EvalOptions, evaluate
from v2drop_cli.commands.meeting import Part, Table
from v2drop_cli.errors import UsageError, V2DropError
from v2drop_cli.records.journal import Journal
from v2drop_cli.records.shards import Shard, row_files
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.scores.known import metric_for, metric_of

LONG = 80
"""Tokens: only one question is longer, the one of seven words about two pictures."""
TIMES = ("prefill_s", "decode_s_per_token", "prefill_speedup", "date")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = save_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return v2drop_cli.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def questions(tmp_path):
    return write_questions(tmp_path)


def options(schedules=("2:0.5,4:0.3",), methods=("v2drop",), budgets=(), **changes):
    how = {"metric": metric_of("exact_match"), "max_new_tokens": 3, "frames": 2}
    how |= {name: changes.pop(name) for name in ("metric", "fidelity") if name in changes}
    arms = ArmOptions(ScheduleOptions(schedules, budgets=budgets), methods=methods)
    return EvalOptions("here", arms, How(**how), **changes)


def asked(loaded, path, given=None, journal=None, watch=None):
    return evaluate(loaded, Jsonl(str(path)), given or options(), journal or Journal(None), watch)


def timeless(value):
    """A document without what a clock said."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in (*TIMES, "environment")}
    return [timeless(v) for v in value] if isinstance(value, (list, tuple)) else value


def told(results):
    return [
        {label: (a.tokens, a.score, a.layer_average) for label, a in row.arms.items()}
        for row in results
    ]


def test_rows_of_a_batch_answer_as_they_do_alone(loaded, questions):
    given = options((), ("v2drop", "random"), ("40%", "15"))
    alone, together = Journal(None), Journal(None)
    single = asked(loaded, questions, given, alone)
    batched = asked(loaded, questions, dataclasses.replace(given, batch_size=4), together)
    assert told(together.results) == told(alone.results)
    labels = [arm.label for arm in single.arms]
    assert labels[:3] == ["dense", "v2drop budget 40%", "random budget 40%"]
    for one, other in zip(single.arms, batched.arms, strict=True):
        assert (one.score, one.against_dense is None) == (other.score, one.label == "dense")
    # A budget is each prompt's own: a share of one picture or of two, and 15 of either.
    averages = {row.arms["v2drop budget 40%"].layer_average for row in alone.results}
    assert {round(average / 36) for average in averages} == {0, 1}
    same = [row.arms["random budget 15"].layer_average for row in alone.results]
    assert all(abs(average - 15) <= 0.5 for average in same)


def test_what_was_found_for_a_budget_on_the_first_prompt_is_kept_for_all(loaded, questions):
    """SparseVLM keeps merged tokens on top of its counts: prefills find the counts."""
    journal = Journal(None)
    found = asked(loaded, questions, options((), ("sparsevlm",), ("40%",), limit=2), journal)
    assert found.arms[1].solved == ("schedule",)
    rows = [row.arms["sparsevlm budget 40%"] for row in journal.results]
    assert [row.vision_tokens for row in rows] == [72, 36]
    assert all(abs(row.layer_average - 0.4 * row.vision_tokens) < 1 for row in rows)


def counted(loaded, inputs, arm, clock, most):
    """Instead of a model: answers that depend on the whole batch, so that others would show."""
    ids = inputs.tensors["input_ids"]
    said = int((ids * torch.arange(ids.numel()).view_as(ids)).sum()) + len(arm.label)
    tokens = [(4 + (said + row) % 50, 2) for row in range(len(ids))]
    return [
        Answered(each, count, count / (1 + len(arm.label)), random.random(), None)
        for each, count in zip(tokens, inputs.vision.counts, strict=True)
    ]


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(asking, "answer", counted)
    monkeypatch.setattr(evaluating, "_warm_up", lambda *args: None)


def test_a_run_killed_anywhere_and_gone_on_with_says_the_same(loaded, questions, tmp_path, quickly):
    given, path = options(batch_size=2), tmp_path / "rows.jsonl"
    whole = timeless(asked(loaded, questions, given, Journal(path)).to_json())
    data, draw = path.read_bytes(), random.Random(0)
    for _ in range(20):
        path.write_bytes(data[: draw.randrange(len(data))])
        again = asked(loaded, questions, given, Journal(path, resume=True))
        assert timeless(again.to_json()) == whole
    assert len(path.read_bytes().splitlines()) == 7


def share(loaded, questions, folder, count, given):
    """Ask as `count` processes do, the first one last; what it finds."""
    for index in reversed(range(count)):
        shard = Shard(index, count)
        table = Table.NEVER if index else Table.WHEN_ALL_ARE_THERE
        mine = dataclasses.replace(given, part=Part(shard, table))
        journal = Journal(folder / shard.file_name, resume=True)
        found = asked(loaded, questions, mine, journal)
        assert (found is None) == (index > 0)
    return found


def test_several_processes_killed_anywhere_and_gone_on_with_by_others_say_the_same(
    loaded, questions, tmp_path, quickly
):
    """Rows of one run in files of 1, 2 and 3 processes, each cut off anywhere."""
    for number in range(5):
        add_line(questions, image=f"{number % 3}.png", question="what is it?", answer="red")
    given, folder, draw = options(batch_size=2), tmp_path / "run", random.Random(1)
    alone = Journal(None)
    whole = timeless(asked(loaded, questions, given, alone).to_json())
    folder.mkdir()
    names = set()
    for _ in range(12):
        count = draw.choice([1, 2, 3])
        assert timeless(share(loaded, questions, folder, count, given).to_json()) == whole
        for path in row_files(folder):
            names.add(path.name)
            data = path.read_bytes()
            if draw.random() < 0.8:
                path.write_bytes(data[: draw.randrange(len(data) + 1)])
    assert len(names) == 6
    shared = share(loaded, questions, folder, 2, given)
    assert timeless(shared.to_json()) == whole
    one = Journal(folder / "rows.jsonl", resume=True)
    assert told(one.results) == told(alone.results)


def test_parts_of_an_array_come_in_any_order_and_the_last_makes_the_table(
    loaded, questions, tmp_path, quickly
):
    given = options(batch_size=2)
    whole = timeless(asked(loaded, questions, given).to_json())
    found, watched = [], []
    watch = Watch(on_progress=lambda progress: watched.append((progress.done, progress.of)))
    for index in (1, 2, 0):
        shard = Shard(index, 3)
        part = Part(shard, Table.IF_ALL_ARE_THERE)
        journal = Journal(tmp_path / shard.file_name)
        mine = dataclasses.replace(given, part=part)
        found.append(asked(loaded, questions, mine, journal, watch))
        assert watched[-1] == (0, 2)  # of its own rows
        assert len(journal.path.read_bytes().splitlines()) == 3
    assert found[:2] == [None, None]
    assert timeless(found[2].to_json()) == whole


def test_an_interrupted_part_makes_no_table(loaded, questions, tmp_path, quickly):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt

    given = dataclasses.replace(options(), part=Part(Shard(1, 2), Table.NEVER))
    journal = Journal(tmp_path / "rows.2-of-2.jsonl")
    with pytest.raises(KeyboardInterrupt):
        asked(loaded, questions, given, journal, Watch(check=check))
    assert 0 < len(journal.results) < 3


def test_more_rows_are_no_other_run(loaded, questions, tmp_path):
    path, watched = tmp_path / "rows.jsonl", []
    few = asked(loaded, questions, options(limit=2), Journal(path))
    assert (few.rows, few.data.asked, few.data.rows) == (2, 2, 6)
    tell = Watch(on_progress=lambda progress: watched.append(progress.done))
    more = asked(loaded, questions, options(), Journal(path, resume=True), tell)
    assert more.rows == 6
    assert watched[-4:] == [2, 3, 4, 5]
    again = asked(loaded, questions, options(limit=2), Journal(path, resume=True))
    assert timeless(again.to_json()) == timeless(few.to_json())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schedules": ("2:0.4",)}, "set of arms"),
        ({"methods": ("random",)}, "set of arms"),
        ({"metric": metric_of("anls")}, "metric: \"exact_match\", now \"anls\""),
        ({"batch_size": 2}, "batch size: 1, now 2"),
        ({"fidelity": True}, "fidelity"),
    ],
)  # fmt: skip
def test_another_run_is_not_gone_on_with(loaded, questions, tmp_path, changes, named):
    path = tmp_path / "rows.jsonl"
    asked(loaded, questions, options(limit=1), Journal(path))
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        asked(loaded, questions, options(**changes), Journal(path, resume=True))
    assert named in caught.value.message
    assert path.read_bytes() == before
    with pytest.raises(UsageError, match="holds a run already"):
        Journal(path)


def test_changed_data_and_models_are_told(loaded, questions, tmp_path):
    path = tmp_path / "rows.jsonl"
    asked(loaded, questions, options(limit=1), Journal(path))
    other = dataclasses.replace(loaded, source="elsewhere")
    with pytest.raises(UsageError, match="another checkpoint"):
        asked(other, questions, options(), Journal(path, resume=True))
    add_line(questions, image="0.png", question="what is it?", answer="red")
    with pytest.raises(UsageError, match="another DATA"):
        asked(loaded, questions, options(), Journal(path, resume=True))


def test_a_broken_row_is_told_and_stops_nothing(loaded, questions, tmp_path):
    (tmp_path / "torn.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    for image, question in (
        ("gone.png", "what?"), ("torn.png", "what?"), ("0.png", "an <image> too"), (".", "what?"),
    ):  # fmt: skip
        add_line(questions, image=image, question=question, answer="red")
    add_line(questions, image="0.png", question="what is it?", answer="red")
    for size in (1, 4):
        found = asked(loaded, questions, options(batch_size=size))
        assert found.rows == 7
        assert [one.row for one in found.broken] == [6, 7, 8, 9]
        for one, said in zip(
            found.broken, ("gone.png", "torn.png", "<image>", "is a directory"), strict=True
        ):
            assert said in one.reason
            assert "\n" not in one.reason


def test_a_batch_that_runs_out_of_memory_is_asked_row_by_row(loaded, questions, monkeypatch):
    real = asking.answer

    def small(loaded, inputs, arm, clock, most):
        rows = inputs.tensors["input_ids"]
        if len(rows) > 1 or rows.shape[1] > LONG:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return real(loaded, inputs, arm, clock, most)

    monkeypatch.setattr(asking, "answer", small)
    found = asked(loaded, questions, options(batch_size=6))
    assert [one.row for one in found.broken] == [3]  # the longest question about two pictures
    assert "out of memory" in found.broken[0].reason
    assert found.rows == 5


def test_processes_that_share_a_model_do_not_go_on_alone(loaded, questions, monkeypatch):
    """The others wait for this one in the middle of a layer; what a method refuses all refuse."""
    split, raised = dataclasses.replace(loaded, parts=2), []

    def failing(*args):
        raise raised[0]

    def first_says(loaded, value):
        assert loaded is split
        return {0, 1}

    monkeypatch.setattr(asking, "answer", failing)
    monkeypatch.setattr(evaluating, "agreed", first_says)
    monkeypatch.setattr(evaluating, "_warm_up", lambda *args: None)
    raised[:] = [torch.OutOfMemoryError("CUDA out of memory.")]
    with pytest.raises(torch.OutOfMemoryError):
        asked(split, questions)
    raised[:] = [V2DropError("no such drop")]
    with pytest.raises(V2DropError, match="none of the 2 rows"):
        asked(split, questions)


def test_where_no_row_can_be_asked_the_first_reason_is_told(loaded, tmp_path):
    path = tmp_path / "questions.jsonl"
    add_line(path, image="gone.png", question="what?", answer="red")
    with pytest.raises(V2DropError, match=r"none of the 1 rows .* row 0: .*gone.png"):
        asked(loaded, path)


def test_an_interrupt_ends_the_asking_and_not_the_evaluation(loaded, questions):
    calls = []

    def check():
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt

    found = asked(loaded, questions, watch=Watch(check=check))
    assert found.partial
    assert 0 < found.rows < 6
    calls[:] = [1] * 9
    with pytest.raises(KeyboardInterrupt):
        asked(loaded, questions, watch=Watch(check=check))


def test_a_row_that_fails_for_an_interrupt_is_not_broken(loaded, questions, monkeypatch):
    """Libraries turn an interrupt into errors of their own."""
    journal, came, real = Journal(None), [], asking.answer

    def failing(loaded, inputs, arm, clock, most):
        if len(journal.results) == 2:
            came.append(1)
            raise ImportError("cannot import name 'x'")
        return real(loaded, inputs, arm, clock, most)

    def check():
        if came:
            raise KeyboardInterrupt

    monkeypatch.setattr(asking, "answer", failing)
    found = asked(loaded, questions, journal=journal, watch=Watch(check=check))
    assert (found.partial, found.rows, found.broken) == (True, 2, ())


def test_what_drops_nothing_keeps_everything(loaded, questions):
    found = asked(loaded, questions, options(("2:1.0",), fidelity=True))
    for arm in found.arms:
        assert arm.fidelity == dataclasses.replace(
            arm.fidelity, kl=0.0, kl_most=0.0, agreement=1.0, diverged=0, first_divergence=None,
            equal=6,
        )  # fmt: skip
    assert found.arms[1].against_dense.lost == found.arms[1].against_dense.gained == 0


def test_fidelity_is_that_of_the_masked_past(loaded, questions):
    """Led along dense's answer, an arm's first token is the one that it gives itself."""
    journal = Journal(None)
    found = asked(loaded, questions, options(("1:0.1",), fidelity=True), journal)
    fidelity = found.arms[1].fidelity
    assert 0 < fidelity.kl <= fidelity.kl_most
    for row in journal.results:
        dense, ours = row.arms.values()
        same = dense.tokens[0] == ours.tokens[0]
        assert (ours.first_divergence == 0) == (not same)
        assert (ours.agreement == 1.0) == (ours.tokens == dense.tokens)


def test_data_without_answers_has_fidelity_and_no_score(loaded, tmp_path):
    write_questions(tmp_path, 1)
    path = tmp_path / "prompts.jsonl"
    add_line(path, image="0.png", question="what is it?")
    data, scored = Jsonl(str(path)), Jsonl(str(tmp_path / "questions.jsonl"))
    with pytest.raises(UsageError, match="without answers"):
        metric_for(data, None, fidelity=False)
    with pytest.raises(UsageError, match="without choices"):
        metric_for(scored, "multiple_choice", fidelity=False)
    assert metric_for(scored, None, fidelity=True) is metric_of("exact_match")
    assert metric_for(data, None, fidelity=True) is None
    found = asked(loaded, path, options(metric=None, fidelity=True))
    assert found.arms[1].score is None
    assert found.arms[1].fidelity.rows == 1
