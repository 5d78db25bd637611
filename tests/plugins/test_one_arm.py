"""One model with one way of dropping says what `eval` gets of it."""

from __future__ import annotations

import pytest
import torch

import v2drop_cli
from tests.tasks.questions_file import write_questions
from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
from v2drop_cli.bench.asking import Asker, How
from v2drop_cli.bench.prompt_arms import PromptArms
from v2drop_cli.errors import UsageError
from v2drop_cli.plugins import one_arm
from v2drop_cli.plugins.one_arm import OneArm, Question
from v2drop_cli.tasks.jsonl import Jsonl

LONGEST = 3
DROPPED = ArmOptions(ScheduleOptions(("2:0.5,4:0.3",)))


@pytest.fixture(scope="module")
def loaded(folder):
    return v2drop_cli.load(folder, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return list(Jsonl(str(write_questions(tmp_path_factory.mktemp("questions")))).rows())


@pytest.fixture(scope="module")
def questions(rows):
    return [Question(row.show(1), row.prompt, LONGEST) for row in rows]


@pytest.fixture(scope="module")
def of_eval(loaded, rows):
    """Dense's answers and the arm's, as `eval` has them."""
    n_vision = loaded.prepare(rows[1].show(1), rows[1].prompt).vision.counts[0]
    arms = PromptArms(DROPPED, loaded, DROPPED.resolve(loaded, n_vision), n_vision)
    results = Asker(loaded, arms, How(None, LONGEST, 1)).ask(rows)
    return [[answer.text for answer in row.arms.values()] for row in results]


def test_answers_are_those_of_eval_alone_and_in_batches(loaded, questions, of_eval):
    dropped, alone = OneArm(loaded, DROPPED), OneArm(loaded, DROPPED)
    assert dropped.answers(questions) == [arm for _, arm in of_eval]
    assert [alone.answers([one])[0] for one in questions] == [arm for _, arm in of_eval]
    assert OneArm(loaded, None).answers(questions) == [dense for dense, _ in of_eval]
    assert [dense for dense, _ in of_eval] != [arm for _, arm in of_eval]


def test_what_was_dropped_is_told(loaded, questions):
    arm = OneArm(loaded, DROPPED)
    arm.answers(questions[1:3])  # 36 tokens each: 36 in 2 layers, 18 in 2, 5 in 2
    assert str(arm.told) == (
        "2 prompts with pictures: 36.0 vision tokens, 19.7 in a layer on average"
    )
    assert str(OneArm(loaded, None).told).startswith("0 prompts with pictures: 0.0 ")


def test_a_question_of_words_alone_has_nothing_to_drop(loaded):
    asked = [Question((), "what color is red?", LONGEST)]
    arm = OneArm(loaded, DROPPED)
    assert arm.answers(asked) == OneArm(loaded, None).answers(asked)
    assert arm.told.prompts == 0


def test_each_prompt_has_its_own_longest_answer(loaded, questions):
    short = [Question(one.media, one.text, 1) for one in questions[1:3]]
    mixed = OneArm(loaded, None).answers([questions[1], short[0]])
    whole, first = OneArm(loaded, None).answers([questions[1]]), OneArm(loaded, None)
    assert mixed == [*whole, *first.answers(short[:1])]
    assert mixed[1] != mixed[0]


def test_a_batch_that_takes_too_much_is_asked_one_by_one(loaded, questions, of_eval, monkeypatch):
    asked = one_arm.answer

    def greedy_for_memory(loaded, inputs, *rest):
        if len(inputs.tensors["input_ids"]) > 1:
            raise torch.OutOfMemoryError("no")
        return asked(loaded, inputs, *rest)

    monkeypatch.setattr(one_arm, "answer", greedy_for_memory)
    assert OneArm(loaded, DROPPED).answers(questions) == [arm for _, arm in of_eval]
    monkeypatch.setattr(one_arm, "answer", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        OneArm(loaded, DROPPED).answers(questions)


def test_a_budget_that_prefills_have_to_find_is_refused(loaded, questions):
    budget = ScheduleOptions(budgets=("40%",))
    with pytest.raises(UsageError) as refused:
        OneArm(loaded, ArmOptions(budget, ("sparsevlm",))).answers(questions[:1])
    assert "sparsevlm" in refused.value.message
    assert "v2drop run --budget" in refused.value.hint
    told = OneArm(loaded, ArmOptions(budget))
    told.answers(questions[:1])
    assert told.told.layer_average == pytest.approx(0.4 * 72, abs=0.5)


def test_loss_is_that_of_one_forward_of_prompt_and_answer(loaded, questions):
    asked, words = questions[1], "red circle"
    loss, greedy = OneArm(loaded, None).loss(asked, f" {words}")
    inputs = loaded.prepare(asked.media, asked.text)
    ids = loaded.processor.tokenizer(words, add_special_tokens=False)["input_ids"]
    whole = torch.cat([inputs.tensors["input_ids"], torch.tensor([ids])], dim=1)
    labels = torch.full_like(whole, -100)
    labels[0, -len(ids) :] = torch.tensor(ids)
    with torch.no_grad():
        found = loaded.model(
            input_ids=whole, pixel_values=inputs.tensors["pixel_values"], labels=labels
        )
    assert len(ids) > 1
    assert loss == pytest.approx(float(found.loss), abs=1e-5)
    assert greedy is False


def test_an_arm_finds_its_own_answer_greedy_and_no_other_likelier(loaded, questions, monkeypatch):
    """The answer is handed over as ids: of a random model's words not all are read back."""
    asked, arm = questions[1], OneArm(loaded, DROPPED)
    seen = []
    monkeypatch.setattr(one_arm, "answer", lambda *given: seen.append(real(*given)) or seen[-1])
    arm.answers([asked])
    [[said]] = seen
    other = [said.tokens[0], *(token ^ 1 for token in said.tokens[1:])]

    def told(tokens):
        monkeypatch.setattr(
            type(loaded.processor.tokenizer),
            "__call__",
            lambda self, text, **options: (
                {"input_ids": list(tokens)} if text == "given" else read(self, text, **options)
            ),
        )
        return arm.loss(asked, "given")

    read = type(loaded.processor.tokenizer).__call__
    own, another = told(said.tokens), told(other)
    assert (own[1], another[1]) == (True, False)
    assert own[0] < another[0]


real = one_arm.answer


def test_an_answer_without_words_is_refused(loaded, questions):
    with pytest.raises(UsageError, match="no words"):
        OneArm(loaded, None).loss(questions[0], " ")
