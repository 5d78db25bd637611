"""The progress line: on a terminal one that changes, elsewhere one line for each phase."""

from __future__ import annotations

import doctest
import io
import re
import sys

from tests.report.factory import dense, dropped
from v2drop_cli.bench.watch import Phase, Progress
from v2drop_cli.cli import progress as module
from v2drop_cli.cli.output import AnswersTold, ResultFiles, warn, watching
from v2drop_cli.cli.progress import telling

PROFILE = (
    Progress(Phase.LOADING, what="tiny"),
    *(Progress(Phase.ANSWERS, done, 4) for done in range(4)),
    *(Progress(Phase.MEMORY, done, 4) for done in range(4)),
    Progress(Phase.WARM_UP, 0, 2),
    Progress(Phase.WARM_UP, 0, 2, part=0.5),
    *(Progress(Phase.ROUNDS, n, 10, at_least=True, left_s=60.0 - n) for n in (0, 9, 10, 54)),
    Progress(Phase.INTERVALS),
)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def drawn(monkeypatch, *told):
    """Every line that was drawn, in order, without the colours and without the bar."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with telling() as tell:
        for item in told:
            (tell if isinstance(item, Progress) else AnswersTold())(item)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    return [re.sub(r"[━╸╺╺]+", "", line).strip() for line in re.split(r"[\r\n]+", text)]


def test_the_examples_in_the_docstrings():
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried > 0


def test_a_phase_never_shows_the_total_of_the_phase_before(monkeypatch):
    lines = drawn(monkeypatch, *PROFILE)
    for wanted in (
        "loading tiny", "answers 3 of 4", "memory 0 of 4", "warm-up 0 of 2",
        "rounds 9 of at least 10, at most 51 s left", "rounds 10, at most 50 s left",
        "rounds 54, at most 6 s left", "intervals",
    ):  # fmt: skip
        assert wanted in lines, lines


def test_a_bar_without_an_end_is_not_full(monkeypatch):
    """Rich keeps a total that is updated to None: 54 of 4 would be drawn as a full bar."""
    from rich.progress import Progress as RichProgress

    totals = []
    real = RichProgress.refresh

    def refresh(self):
        totals.extend((task.completed, task.total) for task in self.tasks)
        real(self)

    monkeypatch.setattr(RichProgress, "refresh", refresh)
    drawn(monkeypatch, *PROFILE)
    assert all(total is None or done <= total for done, total in totals)
    assert (54, None) in totals
    assert (0.5, 2) in totals


def test_on_a_pipe_each_phase_is_one_line(capsys):
    with telling() as tell:
        for progress in PROFILE:
            tell(progress)
    assert capsys.readouterr().err.splitlines() == [
        "loading tiny", "answers: 4", "memory: 4", "warm-up: 2",
        "rounds: at least 10, at most 60 s left", "intervals",
    ]  # fmt: skip


def test_an_answer_stands_above_the_line_that_changes(monkeypatch):
    answer = dense("a cat\x1b[2J " + "and " * 100)
    with_answer = drawn(monkeypatch, Progress(Phase.ANSWERS, 0, 2), answer)
    [line] = [line for line in with_answer if line.startswith("dense answers")]
    assert line.startswith('dense answers "a cat\\x1b[2J and and')
    assert line.endswith('…"')
    assert len(line) < 150


def test_a_line_of_talk_takes_the_place_of_the_bar_and_the_bar_comes_below(monkeypatch):
    """Written round Rich, it would stand behind the bar."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with telling() as tell:
        tell(Progress(Phase.ANSWERS, 0, 2))
        warn("rows differ")
    written = terminal.getvalue()
    before = written[: written.index("warning: rows differ")]
    assert before.endswith("\r\x1b[2K")
    assert "answers 0 of 2" in written[len(before) :]


def test_each_answer_is_a_line_on_a_pipe(capsys):
    for text in ("", "two\nlines", "一只猫"):
        AnswersTold()(dropped(text=text))
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "v2drop answers (empty)", 'v2drop answers "two lines"', 'v2drop answers "一只猫"',
    ]  # fmt: skip


def test_answers_of_dummy_weights_are_not_told(capsys):
    watching(print, ResultFiles(None, None, None), "dummy").on_answer(dense())
    assert capsys.readouterr().err == ""


def test_the_null_does_not_answer_twice(capsys):
    told = AnswersTold()
    for arm in (dense("yes"), dense("yes"), dropped(text="no")):
        told(arm)
    assert capsys.readouterr().err == 'dense answers "yes"\nv2drop answers "no"\n'
