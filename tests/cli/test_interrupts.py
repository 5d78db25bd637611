"""Interrupted at any moment, `--output` holds a complete report or is not there.

Fifty seeded moments in one process (see tests/cli/interrupted.py for what is real in it), and a
few whole processes: SIGINT during start, loading and rounds; SIGTERM and SIGKILL amid the rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import SAMPLES
from tests.patience import PATIENCE_S, wait_for
from v2drop_cli.bench.passes import Passes
from v2drop_cli.records.reading import load_report
from v2drop_cli.report.file_lock import only_writer

ROOT = SAMPLES.parent


def start(*command):
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell's background jobs ignore SIGINT, and hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def profile(checkpoint, path):
    """A profile that never ends by itself."""
    options = ("--model", checkpoint, "--repeats", "1000000", "--output", path)
    return start("v2drop_cli", "profile", "--image", SAMPLES / "cat.jpg", *options)


@pytest.mark.slow
def test_fifty_interrupts_leave_a_complete_report_or_none(checkpoint, tmp_path):
    out, err = start("tests.cli.interrupted", checkpoint, tmp_path, 50, 0).communicate(
        timeout=PATIENCE_S
    )
    outcomes = json.loads(out)["outcomes"]
    assert len(outcomes) == 50, err
    for code, found, left in outcomes:
        # Each report was loaded and checked where it was found; nothing else lies beside it.
        assert left == ([] if found == "absent" else ["report.json"])
        assert found in ("absent", "running", "interrupted", "time")
        assert code in (130, "after the end") or (code, found) == (0, "time")
    assert sum(found in ("running", "interrupted") for _, found, _ in outcomes) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_an_interrupted_process_leaves_a_complete_report_or_none(checkpoint, tmp_path, seed):
    process = profile(checkpoint, tmp_path / "r.json")
    time.sleep(random.Random(seed).uniform(0.3, 8))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    left = [path.name for path in tmp_path.iterdir()]
    assert left in ([], ["r.json"])
    if left:
        assert load_report(tmp_path / "r.json")["protocol"]["partial"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_the_last_complete_report(checkpoint, tmp_path, number):
    path = tmp_path / "r.json"
    process = profile(checkpoint, path)
    wait_for(path, process)
    time.sleep(random.Random(int(number)).uniform(0, 0.5))
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -number
    document = load_report(path)
    assert document["protocol"]["stopped_by"] == "running"
    assert (
        len(document["arms"][0]["timing"]["prefill_s"]["samples"]) == document["protocol"]["rounds"]
    )
    # A killed process takes nothing away: not its lock, which hinders nobody, nor the draft that
    # it was writing, which is not the report.
    others = {item.suffix for item in tmp_path.iterdir()} - {".json"}
    assert others <= {".tmp", ".lock"}
    with only_writer(path):
        pass


@pytest.fixture
def pythons_handler():
    """Python's own handler of SIGINT; a shell's background jobs start with none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", ["run", "profile"])
@pytest.mark.parametrize("where", ["answer", "time"])
def test_a_swallowed_interrupt_still_ends_it(
    v2drop, checkpoint, monkeypatch, pythons_handler, command, where
):
    """As a callback of a weak reference does, or whoever catches everything."""
    real, tries = getattr(Passes, where), []

    def swallowing(self, *args):
        tries.append(args)
        if len(tries) == 4:  # amid the rounds, or at the last of the answers
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        return real(self, *args)

    monkeypatch.setattr(Passes, where, swallowing)
    more = ("--repeats", "1000000", "--warmup", "0")
    methods = ("--method", "v2drop", "--method", "uniform", "--method", "v2drop-l1")
    given = ("--image", SAMPLES / "cat.jpg", "--model", checkpoint)
    result = v2drop(command, *given, *more, *methods)
    assert result.code == 130
    assert signal.getsignal(signal.SIGINT) is pythons_handler
    assert len(tries) < 12
