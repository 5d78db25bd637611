"""Tiny checkpoints of the families, each written and loaded once for all checks of a process."""

from __future__ import annotations

import functools

import pytest

import v2drop_cli as v2drop


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Family name → a complete tiny checkpoint on disk. Copy it before you change it."""
    # Not before it is asked for: processes without torchvision read this file too.
    from tests.processors.check_families import write_checkpoint

    return functools.cache(lambda name: write_checkpoint(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def loaded(checkpoint):
    """Family name → the checkpoint as the package loads it. Change it by monkeypatch only."""
    return functools.cache(lambda name: v2drop.load(str(checkpoint(name)), device="cpu"))
