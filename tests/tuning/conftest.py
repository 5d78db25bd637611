"""One small model for all tests of the search that need one."""

from __future__ import annotations

import pytest

import v2drop_cli
from tests.checkpoints import save_checkpoint
from tests.tasks.questions_file import write_questions


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = save_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return v2drop_cli.load(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def path(tmp_path):
    return write_questions(tmp_path)
