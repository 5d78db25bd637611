"""The house rules, so that the one test command checks them too."""

from __future__ import annotations

import ast
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


EXAMPLES = sorted(
    path for path in (ROOT / "v2drop_cli").rglob("*.py") if ">>> " in path.read_text("utf-8")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_in_docstrings(path):
    import doctest
    import importlib

    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert tried > 0


MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 45  # its signature counts, its docstring does not
MOST_PARAMETERS = 6  # more of them are a dataclass
SOURCES = sorted((ROOT / "v2drop_cli").rglob("*.py"))
FAMILY_FOLDERS = {"models/families", "prove/cases"}  # a family, and the cases that prove it
# Other file names that stand in several folders, and why: they mean the same thing in each of them.
SAME_NAMES = {
    "base.py": {"methods", "models"},  # what a method, and a family, is
    "registry.py": {"methods", "models"},  # which of them there are
    # A command: what it takes and prints, and what it does.
    **{
        f"{name}.py": {"cli", "commands"}
        for name in (
            *("run", "profile", "sweep", "compare", "evaluate", "viz", "models", "doctor"),
            "train_metacompress",
            "tune",
        )
    },
}


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def parameters(function):
    """Without the instance or the class of a method."""
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    names = [one.arg for one in named if one is not None]
    return names[names[:1] in (["self"], ["cls"]) :]


def lines(function):
    """From ``def`` to the end, without the docstring."""
    documented = ast.get_docstring(function) is not None
    words = function.body[0]
    docstring = words.end_lineno - words.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    assert path.read_text(encoding="utf-8").count("\n") <= MOST_LINES_OF_A_FILE
    for function in functions(path):
        assert lines(function) <= MOST_LINES_OF_A_FUNCTION, function.name
        assert len(parameters(function)) <= MOST_PARAMETERS, function.name


def test_a_file_name_has_one_meaning():
    folders = {}
    for path in SOURCES:
        folder = path.parent.relative_to(ROOT / "v2drop_cli").as_posix()
        folders.setdefault(path.name, set()).add(folder)
    for name, found in folders.items():
        if len(found) > 1 and name != "__init__.py" and found != FAMILY_FOLDERS:
            assert found == SAME_NAMES.get(name), f"{name} in {sorted(found)}"


def test_what_ships_fits():
    folder = ROOT / "v2drop_cli" / "models" / "assets" / "tiny"
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert 0 < sum(sizes) <= 16 * 2**20
    assert not [p for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pkl"}]
