"""Talk goes to stderr, and what becomes of it is no matter of the command."""

from __future__ import annotations

import io
import sys

import pytest

from v2drop_cli.bench.watch import Phase, Progress
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.talk import say


class Full(io.TextIOWrapper):
    """A disk without room, or a pipe that nobody reads."""

    def __init__(self, error):
        super().__init__(io.BytesIO(), "utf-8")
        self.error, self.asked = error, 0

    def write(self, text):
        self.asked += 1
        raise self.error


def test_a_line_in_an_encoding_that_cannot_say_it(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    say("¿576 → 288\x1b[2J?")
    assert stream.buffer.getvalue() == b"\\xbf576 -> 288\\x1b[2J?\n"


def test_nobody_is_told_where_there_is_no_stderr(monkeypatch, capsys):
    """``2>&-``: Python then has none, and ``print`` would take stdout."""
    monkeypatch.setattr(sys, "stderr", None)
    say("lost")
    with telling() as tell:
        tell(Progress(Phase.LOADING, what="tiny"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError()])
def test_a_line_that_cannot_be_written_is_lost_and_no_more_are_tried(monkeypatch, error):
    stream = Full(error)
    monkeypatch.setattr(sys, "stderr", stream)
    say("lost")
    say("lost, too")
    assert stream.asked == 1
    sys.stderr.close()


def test_a_closed_stream_is_no_reason_to_stop(monkeypatch):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    say("lost")
    sys.stderr.close()
