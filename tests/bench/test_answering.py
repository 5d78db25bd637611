"""Answers of a batch, row by row: up to its end, what it keeps, its share of the time."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from tests.families import CASES
from tests.families.loaded import inputs_of, loaded_case
from v2drop_cli.bench.answering import _until, answer, times_of
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.ragged import batch
from v2drop_cli.measure.clock import FakeClock, Marks
from v2drop_cli.models.inputs import VisionTokens
from v2drop_cli.schedule import Schedule

DENSE = Arm("dense")
CASE = CASES["llava"]


@pytest.fixture(scope="module")
def loaded():
    return loaded_case("llava")


@pytest.fixture(scope="module")
def rows(loaded):
    """One picture and two of them: a batch with padding."""
    prompts = [CASE.prompt(3, "i", 1), CASE.prompt(5, "ii", 2)]
    return batch(loaded, [inputs_of(CASE, prompt) for prompt in prompts])


@pytest.fixture
def endless(loaded, monkeypatch):
    """The four tokens that each row goes on with when nothing ends it."""

    def say(rows):
        monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", None)
        length = rows.tensors["input_ids"].shape[1]
        out = loaded.model.generate(**rows.tensors, do_sample=False, max_new_tokens=4)
        return [tuple(row) for row in out[:, length:].tolist()]

    return say


def asked(loaded, rows, arm=DENSE, most=4, times=range(99)):
    return answer(loaded, rows, arm, FakeClock(map(float, times)), most)


def test_rows_share_the_time_of_their_batch_equally(loaded, rows, endless):
    """Prefill from the decoder's first call to its second; three more steps and the end."""
    tokens = endless(rows)
    found = asked(loaded, rows, times=(10, 13, 14, 16, 20))
    assert [row.tokens for row in found] == tokens
    assert [row.prefill_s for row in found] == [1.5, 1.5]
    assert [row.decode_s_per_token for row in found] == [pytest.approx(7 / 6)] * 2
    # One token has no later one.
    for row in asked(loaded, rows, most=1, times=(10, 13)):
        assert (row.prefill_s, row.decode_s_per_token) == (1.5, None)


@pytest.mark.parametrize("listed", [True, False])
def test_an_answer_ends_with_the_token_that_ends_it(loaded, rows, endless, monkeypatch, listed):
    first, second = endless(rows)
    end = first[0]
    assert end not in second
    ends = [end, 63] if listed else end
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", ends)
    assert [row.tokens for row in asked(loaded, rows)] == [(end,), _until(second, {end, 63})]


def test_what_a_row_kept_is_what_happened_to_it(loaded, rows):
    one = len(CASE.image(1).vision)
    dense = asked(loaded, rows, most=1)
    assert [row.vision_tokens for row in dense] == [one, 2 * one]
    assert [row.layer_average for row in dense] == [one, 2 * one]
    found = asked(loaded, rows, Arm("half", "uniform", Schedule.parse("2:0.5,4:3t")), most=1)
    assert [row.vision_tokens for row in found] == [one, 2 * one]
    assert [row.layer_average for row in found] == [
        pytest.approx((2 * count + 2 * (count // 2) + 2 * 3) / 6) for count in (one, 2 * one)
    ]


def test_each_row_has_its_vision_tokens(loaded, rows):
    fewer = replace(rows, vision=VisionTokens(rows.vision.index[:1], rows.vision.grids[:1]))
    with pytest.raises(ValueError, match="shorter"):
        asked(loaded, fewer, most=1)


def test_what_comes_behind_the_end_is_padding():
    assert _until([5, 6, 2, 0, 0], {2}) == (5, 6, 2)
    assert _until([5, 6, 3, 2], {2, 3}) == (5, 6, 3)
    assert _until([5, 2, 0], {2}) == (5, 2)
    assert _until([5, 6], {2}) == (5, 6)
    assert _until([2], {2}) == (2,)
    assert _until([], {2}) == ()


def test_marks_of_others_are_no_steps():
    marks = (("decoder begins", 1.0), ("x", 2.0), ("decoder begins", 5.0), ("answered", 9.0))
    assert times_of(Marks(marks, 20.0), 1) == (4.0, 4.0)
    assert times_of(Marks(marks, 20.0), 4) == (1.0, 1.0)
    assert times_of(Marks((marks[0], marks[3]), 20.0), 2) == (4.0, None)


def test_what_was_answered_stays(loaded, rows):
    with pytest.raises(FrozenInstanceError):
        asked(loaded, rows, most=1)[0].prefill_s = 0.0
