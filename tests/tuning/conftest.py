"""What the tests of the search share."""

from __future__ import annotations

import pytest

from tests.tasks.questions_file import write_questions
from tests.tuning.small import small_model


@pytest.fixture
def loaded():
    return small_model()


@pytest.fixture
def path(tmp_path):
    return write_questions(tmp_path)
