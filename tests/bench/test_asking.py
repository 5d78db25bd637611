"""Rows through every arm without a model: which go together, what becomes of those that fail."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest
import torch

from v2drop_cli.bench import asking
from v2drop_cli.bench.answering import Answered
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.asking import Asker, How, broken
from v2drop_cli.bench.fidelity import Kept
from v2drop_cli.errors import UsageError
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.tasks.rows import Row

LABELS = ("dense", "v2drop", "random")


def prepared(media, prompt):
    """One token for each word, the first ones are vision tokens, as many as there are media."""
    ids = torch.tensor([[len(word) for word in prompt.split()]])
    return Inputs({"input_ids": ids}, VisionTokens((torch.arange(len(media)),), ((),)))


LOADED = SimpleNamespace(
    device=torch.device("cpu"),
    parts=1,
    source="a model",
    processor=None,
    family=SimpleNamespace(numbers_rows=False),
    prepare=prepared,
    decode=lambda tokens: " ".join(map(str, tokens)),
)


class Arms:
    """The same three for every prompt; which prompts were asked about is noted."""

    labels = LABELS

    def __init__(self):
        self.asked = []

    def of(self, n_vision):
        self.asked.append(n_vision)
        return tuple(Arm(label, method=label) for label in LABELS)


@pytest.fixture
def calls(monkeypatch):
    """Instead of a model: each row says its last id and the arm's place; all calls are noted."""
    noted = []

    def answer(loaded, inputs, arm, clock, most):
        ids = inputs.tensors["input_ids"]
        noted.append((arm.label, len(ids), most))
        if (ids == 13).any():
            raise torch.OutOfMemoryError("CUDA out of memory.\n Tried a lot.")
        return [
            Answered((int(row[-1]), LABELS.index(arm.label)), count, count / 2, 0.1, 0.2)
            for row, count in zip(ids, inputs.vision.counts, strict=True)
        ]

    monkeypatch.setattr(asking, "answer", answer)
    return noted


def row(number, asked="a bb ccc", media=1, answers=("yes", "no"), group=None):
    return Row(number, asked, answers, lambda most: [1] * media, group=group)


def asked(rows, **how):
    how = {"metric": None, "max_new_tokens": 7, "frames": 5, **how}
    return Asker(LOADED, Arms(), How(**how)).ask(rows)


def test_rows_that_go_together_are_one_batch_and_come_back_in_their_order(calls):
    """Of different lengths, but as many vision tokens."""
    rows = [row(4, "a bb"), row(2, "a bb ccc", media=2), row(9, "a bb ccc dddd")]
    found = asked(rows)
    assert [one.row for one in found] == [4, 2, 9]
    assert sorted({(rows, most) for _, rows, most in calls}) == [(1, 7), (2, 7)]
    assert len(calls) == 6
    said = [one.arms["random"] for one in found]
    assert [one.tokens for one in said] == [(2, 2), (3, 2), (4, 2)]
    assert [one.vision_tokens for one in said] == [1, 2, 1]
    assert all(tuple(one.arms) == LABELS and one.broken is None for one in found)


def test_what_an_arm_said_is_scored_and_kept(calls):
    metric = SimpleNamespace(score=lambda text, row: len(text) / 10 + row.number)
    [one] = asked([row(3, "a bb", group="cats")], metric=metric)
    assert (one.row, one.group, one.label) == (3, "cats", "yes")
    said = one.arms["v2drop"]
    assert (said.text, said.tokens, said.score) == ("2 1", (2, 1), 3.3)
    assert (said.vision_tokens, said.layer_average) == (1, 0.5)
    assert (said.prefill_s, said.decode_s_per_token, said.kl) == (0.1, 0.2, None)
    [other] = asked([row(3, answers=())])
    assert (other.label, other.arms["dense"].score) == (None, None)


def orders(calls, rows, **how):
    calls.clear()
    for one in rows:
        asked([one], **how)
    return [tuple(label for label, *_ in calls[n : n + 3]) for n in range(0, len(calls), 3)]


def test_arms_take_turns_in_an_order_that_the_seed_and_the_row_draw(calls):
    rows = [row(number) for number in range(12)]
    found = orders(calls, rows)
    assert len(set(found)) > 3
    assert orders(calls, rows) == found
    assert orders(calls, rows, seed=1) != found


def test_a_row_that_cannot_be_shown_is_broken_and_stops_nothing(calls):
    shown = []

    def fails(most):
        shown.append(most)
        raise UsageError("no such   file:\n cat.png", hint="look for it")

    torn = Row(5, "what?", (), fails, group="cats")
    first, found, last = asked([row(1), torn, row(8)])
    assert (found.row, found.group, found.label, found.arms) == (5, "cats", None, {})
    assert found.broken == "no such file: cat.png"
    assert shown == [5]
    assert (first.broken, last.broken) == (None, None)
    assert {rows for _, rows, _ in calls} == {2}


def test_a_processors_own_error_is_told_with_the_model(calls, monkeypatch):
    def prepare(media, prompt):
        raise KeyError("image")

    monkeypatch.setattr(LOADED, "prepare", prepare)
    [found] = asked([row(1)])
    assert "processor of a model" in found.broken


def test_a_batch_that_fails_is_asked_row_by_row(calls, monkeypatch):
    let_go = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: let_go.append(1))
    rows = [row(1), row(2, "a " + "x" * 13), row(3)]
    found = asked(rows)
    assert [one.row for one in found] == [1, 2, 3]
    assert found[1].broken == "OutOfMemoryError: CUDA out of memory."
    assert [len(one.arms) for one in found] == [3, 0, 3]
    assert [rows for _, rows, _ in calls] == [3, *[1] * 7]  # all, 3 arms, one that fails, 3 arms
    assert len(let_go) == 2


def test_a_cpu_has_no_memory_to_give_back(calls, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: pytest.fail("there is no GPU"))
    assert asked([row(1, "x" * 13)])[0].broken


def test_each_arm_is_led_along_denses_own_answer(calls, monkeypatch):
    given = []

    class Along:
        def __init__(self, loaded, inputs, answer):
            given.append((inputs.tensors["input_ids"].tolist(), answer))

        def led(self, arm):
            place = LABELS.index(arm.label)
            return Kept(place / 4, 1 - place / 4, place or None)

    monkeypatch.setattr(asking, "Along", Along)
    rows = [row(1, "a bb"), row(2)]
    for one in asked(rows, fidelity=True):
        found = {name: (a.kl, a.agreement, a.first_divergence) for name, a in one.arms.items()}
        assert found == {
            "dense": (0.0, 1.0, None), "v2drop": (0.25, 0.75, 1), "random": (0.5, 0.5, 2)
        }  # fmt: skip
        assert tuple(one.arms) == LABELS
        assert one.arms["random"].tokens[1] == 2
    # Each row alone, without the padding of its batch.
    assert given == [([[1, 2]], (2, 0)), ([[1, 2, 3]], (3, 0))]
    asked(rows)
    assert len(given) == 2


def test_why_a_row_is_broken_is_told_in_one_line_of_300_letters():
    one = row(6, group="g")
    assert broken(one, ValueError("  a\n b")).broken == "ValueError: a"
    assert broken(one, KeyError()).broken == "KeyError: KeyError"
    found = broken(one, UsageError("x" * 299 + "yz"))
    assert found.broken == "x" * 299 + "y"
    assert (found.row, found.group, found.label, found.arms) == (6, "g", None, {})


def test_how_rows_are_asked_stays(monkeypatch):
    how = How(None, 7, 5)
    assert (how.seed, how.fidelity) == (0, False)
    with pytest.raises(FrozenInstanceError):
        how.frames = 6
    ready = Asker(LOADED, Arms(), how)._prepared(row(1, media=2))
    assert ready.n_vision == 2
    with pytest.raises(FrozenInstanceError):
        ready.row = None
