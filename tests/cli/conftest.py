"""Running the command line inside the test process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.checkpoints import save_checkpoint
from v2drop_cli.bench.watch import Phase
from v2drop_cli.cli import app

SAMPLES = Path(__file__).parents[2] / "sample_media"
QUICK = ("--repeats", "1", "--warmup", "0", "--max-new-tokens", "3")


class Result:
    """What a command printed and how it left."""

    def __init__(self, raw):
        self.code, self.out, self.err = raw.exit_code, raw.stdout, raw.stderr

    @property
    def said(self):
        """The lines on stderr, without those that tell which phase begins, or an answer."""
        lines = self.err.strip().splitlines()
        lines = [line for line in lines if not line.startswith(tuple(Phase))]
        answers = re.compile(r"(dense|v2drop|random)\b.* answers ")
        return [line for line in lines if not answers.match(line)]

    def refused(self, code, *said):
        """Left with `code`, nothing on stdout, one error line with `said`, no traceback."""
        assert (self.code, self.out) == (code, ""), self.err
        lines = self.said
        assert lines[0].startswith("error: "), self.err
        assert len(lines) <= 2, self.err
        assert all(line.startswith(("error: ", "hint: ")) for line in lines), self.err
        for text in said:
            assert text in self.err, self.err


@pytest.fixture
def v2drop():
    runner = CliRunner()

    def call(*args):
        return Result(runner.invoke(app, [str(arg) for arg in args]))

    return call


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A tiny random-weight LLaVA on disk."""
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def quick(v2drop, checkpoint):
    """`v2drop run` with the tiny checkpoint and as little measuring as possible."""

    def call(*args):
        return v2drop("run", "--model", checkpoint, *QUICK, *args)

    return call
