"""The mutation run: which faults it makes, what it takes for equivalent, and what it found."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.mutation.faults import changed_lines
from benchmarks.mutation.table import (
    TARGETS,
    Equivalent,
    equivalents,
    results,
    share,
    table,
    unnoticed,
)

ROOT = Path(__file__).parents[2]
GOAL = 0.95


def test_every_module_and_its_own_tests_are_there():
    for target in TARGETS:
        for path in (target.path, *target.tests):
            assert (ROOT / path).is_file(), path
        assert importlib.util.find_spec(target.name) is not None


TRIES = """
from benchmarks.mutation.run import ROOT, prepare, tried
from benchmarks.mutation.table import TARGETS

prepare()
[target] = [target for target in TARGETS if target.module == "instrument/derived"]
source = (ROOT / target.path).read_text(encoding="utf-8")
known = tried(target, source, 60)
assert known.passed, known.said
assert not tried(target, source.replace("return", "return None and"), 60).passed
"""


def test_a_modules_own_tests_pass_as_they_are_run_and_fail_at_a_fault():
    """A process runs them without pytest's plug-ins, whose options then mean nothing."""
    command = [sys.executable, "-c", TRIES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("result", results(), ids=lambda result: result["module"])
def test_faults_are_noticed(result):
    missed = unnoticed(result, equivalents())
    assert share(result["noticed"], len(missed)) >= GOAL, missed
    assert result["noticed"] + len(result["survivors"]) == result["tried"]


@pytest.mark.parametrize("item", equivalents(), ids=lambda item: f"{item.module} {item.before}")
def test_what_is_listed_as_equivalent_was_made_or_still_can_be(item):
    """A sample need not hold it; the source may have changed since the run."""
    made = [(result["module"], fault) for result in results() for fault in result["survivors"]]
    paths = [ROOT / target.path for target in TARGETS if item.module in ("*", target.module)]
    sources = [" ".join(path.read_text(encoding="utf-8").split()) for path in paths]
    assert any(item.is_made_by(*fault) for fault in made) or any(item.before in s for s in sources)
    assert item.why


def test_the_table_has_a_row_for_each_result():
    rows = [line for line in table() if line.startswith("| `")]
    assert len(rows) == len(results()) > 0


SLOTS = Equivalent("*", "slots=True", ("slots=False",), "")
TWICE = Equivalent("room", "a < b", ("a <= b", "a != b"), "")


@pytest.mark.parametrize(
    ("item", "module", "before", "after", "same"),
    [
        (SLOTS, "any", "f(x=1, slots=True)", "f(x=1, slots=False)", True),
        (SLOTS, "any", "f(x=1, slots=True)", "f(x=2, slots=True)", False),
        (TWICE, "room", "if a < b:", "if a <= b:", True),
        (TWICE, "room", "if a < b:", "if a != b:", True),
        (TWICE, "room", "if a < b:", "if a > b:", False),
        (TWICE, "other", "if a < b:", "if a <= b:", False),
        (TWICE, "room", "a < b, a < b", "a < b, a <= b", True),
        (TWICE, "room", "a < b, a < b", "a <= b, a <= b", False),  # two changes are not one
    ],
)
def test_a_listed_change_is_found_anywhere_in_its_line(item, module, before, after, same):
    assert item.is_made_by(module, {"before": before, "after": after}) == same


def test_only_the_lines_that_differ_are_told():
    assert changed_lines("a\nb\nc\n", "a\nx\nc\n") == ("b", "x")
    assert changed_lines("@d\ndef f():\n  pass\n", "def f():\n  pass\n") == ("@d", "")
    assert changed_lines("f(\n  1,\n  2)\n", "f(\n  3,\n  2)\n") == ("1,", "3,")


SOURCE = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from x import y

def f(a: int | None = 1) -> int: ...
def f(a: int | None, b: "x | y" = 1) -> int | None:
    c: int | None = a + b
    return c
"""


def test_what_only_type_checkers_read_is_left_alone():
    pytest.importorskip("cosmic_ray", reason="the dev extra is not installed")
    from benchmarks.mutation.faults import faults, places

    found = list(faults(SOURCE, places(SOURCE)))
    head, line = 'def f(a: int | None, b: "x | y" = 1) -> int | None:', "c: int | None = a + b"
    assert {(fault.where, fault.before) for fault in found} == {("f", head), ("f", line)}
    assert all(fault.source != SOURCE for fault in found)
    assert len([fault for fault in found if "a + b" in fault.before]) == 2
