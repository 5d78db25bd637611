"""One tiny model on disk for all of them."""

from __future__ import annotations

import pytest

from tests.checkpoints import save_checkpoint


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    return str(save_checkpoint(tmp_path_factory.mktemp("checkpoint")))
