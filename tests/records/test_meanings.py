"""Every quantity has its definition, and the pages say the same."""

from __future__ import annotations

import re
from pathlib import Path

from v2drop_cli.records.meanings import MEANINGS, STAGES
from v2drop_cli.records.metrics import METRICS, PAIRS, metric

PAGE = Path(__file__).parents[2] / "docs" / "measuring.md"


def test_every_quantity_has_one_definition():
    assert set(MEANINGS) == {row.name for row in (*METRICS, *PAIRS)}
    assert all(MEANINGS.values())


def test_the_table_of_stages_in_the_pages_says_the_same():
    [_, section] = PAGE.read_text(encoding="utf-8").split("\n## The stages\n")
    lines = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (?:wall|device|both) \|$", section, re.MULTILINE)
    assert dict(lines) == {metric(name).label: words for name, words in STAGES.items()}
