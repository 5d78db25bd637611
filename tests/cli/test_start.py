"""Starting up: help and version are quick, light, and kept as golden text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from v2drop_cli.cli import app

# All commands, and the program itself.
HELPED = ("", *(command.name or command.callback.__name__ for command in app.registered_commands))
GOLDEN = Path(__file__).parents[1] / "golden"
HEAVY = ("torch", "transformers", "scipy", "numpy", "av", "PIL")


def start(*args, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**clean, "TYPER_USE_RICH": "0", "COLUMNS": "80", **(env or {})},
        check=False,
    )


def modules_after(*args):
    """What `v2drop ARGS` has imported when it ends."""
    code = (
        "import sys\nsys.argv = ['v2drop', *sys.argv[1:]]\n"
        "from v2drop_cli.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "print('loaded:', *sys.modules)"
    )
    done = start("-c", code, *args)
    assert "loaded:" in done.stdout, done.stdout + done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


SHOWN = [["--help"], ["--version"], ["run", "--help"], ["profile", "--help"], ["doctor", "--help"]]


@pytest.mark.parametrize("args", SHOWN, ids=" ".join)
def test_nothing_heavy_is_imported(args):
    assert not modules_after(*args) & set(HEAVY)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_start_costs_little_more_than_typer(option):
    """Modules are counted, not seconds: how fast a machine imports them is its own matter."""
    done = start("-c", "import sys, typer.main\nprint(*sys.modules)")
    own = modules_after(option) - set(done.stdout.split())
    assert len(own) <= 60, sorted(own)


def test_a_shell_completes_commands_and_options():
    def completed(*words):
        asks = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        env = {"_V2DROP_COMPLETE": "complete_bash", **asks}
        return start("-c", "from v2drop_cli.__main__ import main\nmain()", env=env).stdout.split()

    assert completed("v2drop", "pro") == ["profile"]
    assert completed("v2drop", "run", "--max") == ["--max-new-tokens"]
    exports = ["--export-md", "--export-html", "--export-csv"]
    assert completed("v2drop", "profile", "--export") == exports


def test_version_is_the_packages():
    from v2drop_cli import __version__

    assert start("-m", "v2drop_cli", "--version").stdout == f"v2drop {__version__}\n"


@pytest.mark.parametrize("command", HELPED)
def test_help_is_golden(command):
    """Regenerate on purpose: python -m tests.cli.regenerate."""
    shown = start("-m", "v2drop_cli", *command.split(), "--help").stdout
    assert shown == (GOLDEN / f"help_{command or 'v2drop'}.txt").read_text(encoding="utf-8")


def test_every_option_is_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for path in GOLDEN.glob("help_*.txt"):
        assert path.read_text(encoding="utf-8") in page, path.name


def test_no_arguments_show_help():
    done = start("-m", "v2drop_cli")
    assert "Commands:" in done.stdout + done.stderr


def test_the_public_names_are_there():
    import v2drop_cli

    for name in v2drop_cli.__all__:
        assert getattr(v2drop_cli, name) is not None
    assert set(v2drop_cli.__all__) == set(dir(v2drop_cli))
    with pytest.raises(AttributeError, match="nonsense"):
        v2drop_cli.nonsense  # noqa: B018
    assert re.fullmatch(r"\d+\.\d+\.\d+", v2drop_cli.__version__)
