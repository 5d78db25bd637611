from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from v2drop_cli.report.layout import PIPE_WIDTH, widen, width_of, wrap
from v2drop_cli.report.text import GLUE, clean

TEXT = st.text(st.sampled_from("ab \n你é-" + GLUE), max_size=60)


@given(TEXT, st.integers(2, 20))
def test_wrapping_loses_nothing_and_fits(text, width):
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    blanks = str.maketrans("", "", f" \n{GLUE}")
    assert "".join(lines).translate(blanks) == text.translate(blanks)


@pytest.mark.parametrize(
    ("told", "width"), [(None, PIPE_WIDTH), ("200", 200), ("0", PIPE_WIDTH), ("x", PIPE_WIDTH)]
)
def test_a_pipe_is_as_wide_as_it_is_told(monkeypatch, told, width):
    monkeypatch.delenv("COLUMNS", raising=False)
    if told is not None:
        monkeypatch.setenv("COLUMNS", told)
    assert width_of(Console(file=io.StringIO())) == width
    assert width_of(Console(file=io.StringIO(), force_terminal=True, width=64)) == 64


def test_words_break_at_spaces_then_at_glue_then_anywhere():
    assert wrap(f"one two{GLUE}three", 9) == ["one", f"two{GLUE}three"]
    assert wrap(f"two{GLUE}three", 6) == ["two", "three"]
    assert wrap("unbreakable", 4) == ["unbr", "eaka", "ble"]
    assert wrap("", 4) == [""]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 60)), min_size=1, max_size=6),
    st.integers(0, 200),
)
def test_widening_uses_the_room_and_no_more(pairs, room):
    least = [low for low, _ in pairs]
    wanted = [high for _, high in pairs]
    grown = widen(least, wanted, room)
    assert all(new >= old for new, old in zip(grown, least, strict=True))
    assert sum(grown) <= max(room, sum(least))
    full = [max(pair) for pair in pairs]
    assert grown == full or sum(grown) >= min(room, sum(full))


@given(st.text())
def test_cleaned_text_always_encodes_and_has_no_controls(text):
    kept = clean(text)
    kept.encode("utf-8")
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in kept)
