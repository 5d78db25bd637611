"""The house rules, so that the one test command checks them too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[1]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(check):
    done = run(sys.executable, "-m", "ruff", *check, ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_mypy():
    done = run(sys.executable, "-m", "mypy")
    assert done.returncode == 0, done.stdout


def test_imports_point_downward():
    done = run(str(Path(sys.executable).parent / "lint-imports"))
    assert done.returncode == 0, done.stdout


def test_doctests_of_torch_free_rooms():
    import doctest

    from v2drop_cli import errors, schedule, tensors, units
    from v2drop_cli.bench import comparison
    from v2drop_cli.judge import arm_verdicts, ruler
    from v2drop_cli.report import glance

    for module in (errors, schedule, tensors, units, comparison, arm_verdicts, ruler, glance):
        failed, tried = doctest.testmod(module)
        assert failed == 0
        assert tried > 0


def test_files_and_functions_stay_small():
    import ast

    for path in (ROOT / "v2drop_cli").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 350, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0].lineno if node.body else node.lineno
                assert (node.end_lineno or 0) - first <= 55, f"{path}: {node.name}"


def test_what_ships_fits():
    folder = ROOT / "v2drop_cli" / "models" / "assets" / "tiny"
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert 0 < sum(sizes) <= 16 * 2**20
    assert not [p for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pkl"}]
