"""Run by `test_processors.py`: each family's real processor, where torchvision cannot be imported.

The processors are made here, and loaded in a process without the shim.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers.models.smolvlm import processing_smolvlm

import v2drop_cli as v2drop
from tests.families import CASES
from tests.patience import PATIENCE_S
from v2drop_cli.errors import MissingPackageError
from v2drop_cli.models import packages

PLAIN = """
import json, sys
import v2drop_cli as v2drop
from v2drop_cli.errors import V2DropError
from v2drop_cli.models.names import resolve
from v2drop_cli.models.packages import missing_packages, processor_name

found = {}
for name, folder in json.load(sys.stdin).items():
    missing = missing_packages(processor_name(resolve(folder), None))
    try:
        v2drop.load(folder, device="cpu")
        found[name] = missing, None, ""
    except V2DropError as error:
        found[name] = missing, type(error).__name__, error.message
json.dump(found, sys.stdout)
"""


def test_what_is_told_to_be_missing_is_what_a_processor_fails_for(checkpoint):
    """All families at once: most of the time goes into importing torch."""
    folders = {name: str(checkpoint(name)) for name in CASES}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        cwd=Path(__file__).parents[2],
        input=json.dumps(folders),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found.keys() == CASES.keys()
    for name, (missing, error, message) in found.items():
        assert error == ("MissingPackageError" if missing else None), (name, message)
        assert all(package in message for package in missing), name


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_missing_where_everything_is(loaded, name):
    assert packages.missing_packages(type(loaded(name).processor).__name__) == ()


def test_smolvlm_without_num2words_is_told_so(checkpoint, monkeypatch):
    monkeypatch.setattr(processing_smolvlm, "num2words", None)
    real = packages.is_installed
    monkeypatch.setattr(packages, "is_installed", lambda name: name != "num2words" and real(name))
    with pytest.raises(MissingPackageError, match="needs num2words, which is not") as caught:
        v2drop.load(str(checkpoint("smolvlm")), device="cpu")
    assert caught.value.hint == "pip install num2words"
