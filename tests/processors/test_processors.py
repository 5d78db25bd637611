"""Real processors on real files, in a process where torchvision works: see `shim.py`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tests.processors import FOLDER

ROOT = Path(__file__).parents[2]
CHECKS = sorted(Path(__file__).parent.glob("check_*.py"))
SHARES = ["0/2", "1/2"]  # of the families: processes that can run side by side
INSTALL = "pip install --no-deps --target .torchvision torchvision==0.28.0 num2words==0.5.14"


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_every_familys_own_processor_on_real_files(share):
    """All checks in one process, for most of its time would go into importing and into loading."""
    if not (FOLDER / "torchvision").is_dir() and not importlib.util.find_spec("torchvision"):
        pytest.skip(f"processors of most families need torchvision; {INSTALL}")
    plugins = ("tests.processors.shim", "tests.processors.share", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "--share", share]
    command += [word for plugin in plugins for word in ("-p", plugin)]
    done = subprocess.run(
        [*command, *map(str, CHECKS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_process_of_the_other_tests_stays_without_it():
    """Collecting this file imports what it imports; other tests are about torchvision's absence."""
    assert str(FOLDER) not in sys.path
    assert "tests.processors.shim" not in sys.modules
