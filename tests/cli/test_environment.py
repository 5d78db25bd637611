"""Environment variables that upset other tools: all go on working, and -OO is refused plainly."""

from __future__ import annotations

import json

import pytest

import v2drop_cli
from tests.cli.conftest import QUICK, SAMPLES
from tests.cli.test_start import start
from v2drop_cli.errors import UsageError, without_docstrings

RUN = ("-m", "v2drop_cli", "run", "--image", str(SAMPLES / "cat.jpg"), *QUICK)


@pytest.fixture
def nowhere(tmp_path):
    """Paths below a file: nobody can make them, root included."""
    (tmp_path / "file").touch()
    return tmp_path / "file"


def hostile(nowhere, **more):
    return {
        "PYTHONWARNINGS": "error",
        "LANG": "C",
        "LC_ALL": "C",
        "HOME": str(nowhere / "home"),
        "HF_HOME": str(nowhere / "hub"),
        "XDG_CACHE_HOME": str(nowhere / "cache"),
        "TMPDIR": str(nowhere / "tmp"),
        **more,
    }


def test_a_run_with_all_of_them_at_once(checkpoint, nowhere):
    """Warnings are errors, nothing can be written, and transformers tells everything."""
    env = hostile(nowhere, TRANSFORMERS_VERBOSITY="debug", COLUMNS="abc")
    done = start(*RUN, "--model", str(checkpoint), "--json", env=env)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [warning["code"] for warning in report["warnings"]] == ["device_cpu"]
    assert "Traceback" not in done.stderr


def test_doctor_with_all_of_them_at_once(nowhere):
    """On a terminal of one column, without a GPU and without network."""
    more = {"TRANSFORMERS_VERBOSITY": "bogus", "COLUMNS": "1", "CUDA_VISIBLE_DEVICES": ""}
    env = hostile(nowhere, **more)
    done = start("-m", "v2drop_cli", "doctor", "--json", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {row["name"]: row for row in json.loads(done.stdout)["findings"]}
    assert found["Hub"]["ok"] is True
    assert "offline" in found["Hub"]["detail"]
    assert not any(name.startswith("cuda:") for name in found)


@pytest.mark.parametrize("columns", ["1", "0", "abc", "-5", ""])
def test_terminals_of_odd_widths(quick, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    result = quick("--image", SAMPLES / "cat.jpg")
    assert result.code == 0, result.err
    assert result.out.strip()


@pytest.mark.parametrize("arguments", [RUN[2:], ("doctor",), ("--help",)])
def test_without_docstrings_it_is_refused_before_anything_is_imported(arguments):
    code = (
        "import sys\nfrom v2drop_cli.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n"
        "    print([m for m in ('typer', 'torch', 'transformers') if m in sys.modules], left.code)"
    )
    done = start("-c", code, *arguments, env={"PYTHONOPTIMIZE": "2"})
    assert done.stdout == f"[] {without_docstrings().exit_code}\n", done.stderr
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert "PYTHONOPTIMIZE" in error
    assert hint.startswith("hint: ")


def test_without_docstrings_loading_is_refused_too(monkeypatch):
    from types import SimpleNamespace

    from v2drop_cli.models import loading_options

    fake = SimpleNamespace(flags=SimpleNamespace(optimize=2))
    monkeypatch.setattr(loading_options, "sys", fake)
    with pytest.raises(UsageError) as caught:
        v2drop_cli.load("tiny", device="cpu")
    assert "PYTHONOPTIMIZE" in caught.value.message
