from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from v2drop_cli.report.layout import widen, wrap
from v2drop_cli.report.text import GLUE, clean

TEXT = st.text(st.sampled_from("ab \n你é-" + GLUE), max_size=60)


@given(TEXT, st.integers(2, 20))
def test_wrapping_loses_nothing_and_fits(text, width):
    lines = wrap(text, width)
    assert all(cell_len(line) <= width for line in lines)
    blanks = str.maketrans("", "", f" \n{GLUE}")
    assert "".join(lines).translate(blanks) == text.translate(blanks)


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
