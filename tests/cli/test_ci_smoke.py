"""The smoke test that projects may copy, and the page about it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from v2drop_cli.judge.value_gates import parse_gates

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ci.md"


@pytest.mark.slow
def test_the_shell_smoke_test_passes():
    done = subprocess.run(
        ["bash", ".ci/smoke"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "smoke: ok\n"


def test_gates_in_the_page_and_the_script_are_gates_and_exact():
    page, script = PAGE.read_text(encoding="utf-8"), (ROOT / ".ci" / "smoke").read_text()
    script = script.partition("# A gate that fails")[0]  # below are those that are to fail
    page = page.partition("v2drop compare")[0]  # its gates are about changes
    gates = re.findall(r'--fail-if "(?:\$\w+:)?([^"]+)"', page + script)
    assert len(gates) > 12
    metrics = {gate.metric for gate in parse_gates(gates)}
    assert not {name for name in metrics if name.endswith("_speedup") and "ideal" not in name}
    assert {"last_vision_tokens", "ideal_prefill_speedup", "answers_identical"} <= metrics


def test_the_page_shows_the_same_command_twice():
    blocks = re.findall(r"```(?:sh|yaml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    profiles = [block for block in blocks if "v2drop profile" in block]
    shell, workflow = (set(re.findall(r'--fail-if "[^"]+"', block)) for block in profiles)
    assert shell == workflow
