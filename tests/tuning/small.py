"""One small model for all tests of the search that need one: loaded once a process."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import v2drop_cli
from tests.checkpoints import save_checkpoint


@functools.cache
def small_model():
    """A random-weight LLaVA of 6 layers and 36 vision tokens a picture."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = save_checkpoint(Path(folder))
        return v2drop_cli.load(str(checkpoint), device="cpu", dtype="float32")
