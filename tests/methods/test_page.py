"""docs/methods.md says what the methods say."""

from __future__ import annotations

import pytest

from tests.methods.__main__ import PAGE, documented, page
from v2drop_cli.methods.registry import METHODS, get_method


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.methods writes it anew"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_words_of_its_own_and_names_its_parameters(name):
    assert documented(get_method(name))
