from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.report.regenerate import console
from v2drop_cli.report.listing import (
    Check,
    render_card,
    render_checks,
    render_notes,
    render_table,
)

COLUMNS = ("name", "params", "presets", "gated")
ROWS = (
    {"name": "tiny", "params": "1.2M", "presets": ["paper-192", "paper-64"], "gated": False},
    {"name": "llava-1.5-7b", "params": None, "presets": [], "gated": True},
)
CHECKS = (
    Check(True, "python", "3.11.9"),
    (False, "CUDA", "torch 2.9.1 was built without CUDA", "pip install torch"),
    (None, "NVML", "no NVIDIA driver here → \x1b[31m[red]", None),
)


def table(width, rows=ROWS, columns=COLUMNS, **options):
    screen, stream = console(width, **options)
    render_table("Models", columns, rows, screen)
    return stream.getvalue().decode(screen.encoding)


def checks(width, items=CHECKS, **options):
    screen, stream = console(width, **options)
    render_checks("v2drop doctor", items, screen)
    return stream.getvalue().decode(screen.encoding)


def test_table_side_by_side():
    assert table(80, terminal=False) == (
        "Models\n"
        "  name          params  presets              gated\n"
        "  tiny          1.2M    paper-192, paper-64  no\n"
        "  llava-1.5-7b  n/a     -                    yes\n"
    )


def test_table_becomes_blocks_where_columns_do_not_fit():
    assert table(30, terminal=True) == (
        "Models\n"
        "  name     tiny\n"
        "  params   1.2M\n"
        "  presets  paper-192, paper-64\n"
        "  gated    no\n"
        "\n"
        "  name     llava-1.5-7b\n"
        "  params   n/a\n"
        "  presets  -\n"
        "  gated    yes\n"
    )


def test_one_row_is_told_line_by_line_however_wide_the_screen():
    for width in (30, 120):
        screen, stream = console(width, terminal=True)
        render_card("Models", ROWS[0], screen)
        assert stream.getvalue().decode(screen.encoding) == (
            "Models\n"
            "  name     tiny\n"
            "  params   1.2M\n"
            "  presets  paper-192, paper-64\n"
            "  gated    no\n"
        )


def test_notes_begin_with_their_names_and_wrap():
    screen, stream = console(20, terminal=True, encoding="ascii")
    render_notes("All", {"methods": "v2drop, random → uniform", "presets": "paper-64"}, screen)
    text = stream.getvalue().decode(screen.encoding)
    assert text == "All\n  methods: v2drop,\n  random -> uniform\n  presets: paper-64\n"


def test_an_empty_table_says_so():
    assert table(80, rows=(), terminal=True) == "Models\n  (none)\n"


def test_absent_keys_read_not_available():
    assert "n/a" in table(80, rows=[{"name": "x"}], terminal=True)


def test_checks_wide():
    assert checks(100, terminal=False) == (
        "v2drop doctor\n"
        "  ok    python  3.11.9\n"
        "  FAIL  CUDA    torch 2.9.1 was built without CUDA\n"
        "                fix: pip install torch\n"
        "  n/a   NVML    no NVIDIA driver here → \\x1b[31m[red]\n"
    )


def test_checks_narrow():
    assert checks(32, terminal=True) == (
        "v2drop doctor\n"
        "  ok    python\n"
        "        3.11.9\n"
        "  FAIL  CUDA\n"
        "        torch 2.9.1 was built\n"
        "        without CUDA\n"
        "        fix: pip install torch\n"
        "  n/a   NVML\n"
        "        no NVIDIA driver here →\n"
        "        \\x1b[31m[red]\n"
    )


@pytest.mark.parametrize("width", [16, 24, 40, 70, 100])
def test_lists_fit_and_encode_anywhere(width):
    for text in (
        table(width, terminal=True, encoding="ascii"),
        checks(width, terminal=True, encoding="ascii"),
    ):
        assert max(map(cell_len, text.split("\n"))) <= width
        assert "\x1b" not in text


def test_a_state_is_a_word_before_it_is_a_colour():
    coloured = checks(100, terminal=True, color=True)
    assert "\x1b[1;31mFAIL" in coloured
    assert "ok" in coloured
    assert checks(100, items=(), terminal=True) == "v2drop doctor\n"
