"""How long a test waits for another process or thread before it calls it hung."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

# Not a bar for speed: no machine that runs the tests at all is as slow as this.
PATIENCE_S = 900


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Return once `path` is there; fail if `process` ends without it."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
