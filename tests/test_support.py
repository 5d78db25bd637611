"""docs/support.md, `v2drop models --json` and the registry say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from typer.testing import CliRunner

from tests import image_text_types
from tests.patience import PATIENCE_S
from tests.support import PAGE, ROOT
from v2drop_cli.cli import app
from v2drop_cli.models.refused import UNPROVEN
from v2drop_cli.models.registry import FAMILIES, REFUSED, get_family
from v2drop_cli.models.releases import release


def rows(title):
    """The table under a heading, cells as they are in the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def names(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.slow
def test_the_page_is_what_the_tests_and_the_registry_make():
    """In a process of its own: collecting tests from inside a test would disturb both."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support", "--print"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    page = PAGE.read_text(encoding="utf-8")
    assert done.stdout == page, "python -m tests.support writes the page anew"


def test_page_command_and_registry_agree():
    result = CliRunner().invoke(app, ["models", "--json"])
    told = json.loads(result.stdout)
    shown = {names(row[0])[0]: row for row in rows("Families")}
    assert list(shown) == list(FAMILIES) == [row["family"] for row in told["families"]]
    for row in told["families"]:
        family, cells = get_family(row["family"]), shown[row["family"]]
        assert row["model types"] == list(family.model_types) == names(cells[1])
        takes = [kind.partition(" ")[0] for kind in cells[2].split(", ")]
        assert row["takes"] == list(family.media) == takes
        assert row["presets"] == list(family.presets) == names(cells[6])
        assert (cells[5] == "yes") == (family.synthetic is not None)
    refused = {names(row[0])[0]: row[1] for row in rows("Refused model types")}
    assert refused == REFUSED
    assert refused == {row["model type"]: row["reason"] for row in told["refused"]}


def test_how_many_types_of_transformers_are_served(capsys):
    """The sentence stands in the page and in README.md; here it is printed."""
    sentence, readme = image_text_types.sentence(), image_text_types.README.read_text("utf-8")
    with capsys.disabled():
        print(f"\n{sentence}")
    served, laws, left = image_text_types.counts()
    assert served + laws + left == len(image_text_types.TYPES) == 97
    assert sentence in PAGE.read_text(encoding="utf-8")
    assert image_text_types.filled(readme) == readme, "python -m tests.support writes it anew"


@pytest.mark.skipif(
    release(transformers.__version__) != release(image_text_types.RELEASE), reason="another release"
)
def test_the_counted_types_are_those_of_the_release():
    assert set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES) == image_text_types.TYPES


def test_what_is_not_proven_says_so_and_a_law_does_not():
    untried = {name for name, reason in REFUSED.items() if "not proven" in reason}
    assert untried == UNPROVEN


def test_every_mode_has_a_test_and_only_known_words():
    for mode, status, _, test in rows("Generating, caching, placing"):
        assert status in {"works", "refused", "not seen", "not proven"}, mode
        for name, path in re.findall(r"\[`(\w+)`\]\(\.\./([\w/.]+)\)", test):
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")
        assert "](../tests/" in test
