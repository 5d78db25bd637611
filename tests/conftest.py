"""Shared set-up: quiet, offline and on few threads, whatever the machine."""

from __future__ import annotations

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TYPER_USE_RICH"] = "0"
# Commands that tests start, too: as many threads as cores in each would wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("COLUMNS", None)  # a pipe would be laid out as wide as this window

import pytest
import torch
from hypothesis import HealthCheck, settings

# A slow machine is no failure: no example has a deadline, and none is "too slow to draw".
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_finish(session):
    """What is imported by now stays to the end, so no garbage collection need look at it again.

    Measuring memory asks for many, and walking all of transformers took most of their time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def _few_threads():
    torch.set_num_threads(1)
