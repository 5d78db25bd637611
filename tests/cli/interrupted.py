"""Interrupt one `v2drop profile --output` after another: python -m tests.cli.interrupted.

Arguments: checkpoint, folder, number of interrupts, seed. The model is loaded once, and what a
model would take time for (answers, memory, trials) is told, so that most of the time goes where
an interrupt could do harm: rounds, statistics, and writing and replacing the file, which are the
command's own. A timer raises SIGINT at a moment drawn from the time that one whole profile takes,
which is followed as it changes.
Prints a list of outcomes as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.cli.conftest import SAMPLES

ARGS = (
    "--repeats", "12", "--warmup", "1", "--max-time", "0", "--no-random",
)  # fmt: skip


def tell_the_model() -> None:
    """Passes without a model: the numbers are made up, the time they take is next to nothing."""
    from v2drop_cli.bench import rounds
    from v2drop_cli.bench.passes import Passes
    from v2drop_cli.bench.stages import StageTimes
    from v2drop_cli.records import Answer, ArmResult, Memory, Timing

    draw = random.Random(0)

    def answer(self: Passes, arm: object, most: int) -> ArmResult:
        told = Answer("yes", (1, 2))
        return ArmResult(arm.label, arm.method, None, told, 36, 36.0, (), Timing(), Memory())

    def trial(self: Passes, arm: object, clock: object, new_tokens: int) -> StageTimes:
        time.sleep(0.001)
        seconds = draw.uniform(0.9, 1.1)
        return StageTimes(0.5, 0.25, seconds, 0.125, seconds + 1, seconds + 1)

    Passes.answer, Passes.time = answer, trial
    rounds.REST = 0  # intervals in each round: more to interrupt
    Passes.memory = lambda self, arm, new_tokens: Memory()
    os.fsync = lambda handle: time.sleep(0.001)  # a busy disk takes seconds; no signal cares


def main() -> None:
    checkpoint, folder, number, seed = sys.argv[1:]
    import torch
    from typer.testing import CliRunner

    import v2drop_cli.models.loading as loading
    from v2drop_cli.cli import app
    from v2drop_cli.records.reading import load_report

    torch.set_num_threads(1)
    loaded = loading.load(checkpoint, loading.LoadOptions(device="cpu"))
    loading.load = lambda *_: loaded
    tell_the_model()
    path = Path(folder) / "report.json"
    runner, args = CliRunner(), ["profile", "--image", str(SAMPLES / "cat.jpg"), *ARGS]

    def profile() -> int | str:
        try:
            return runner.invoke(app, [*args, "--output", str(path)]).exit_code
        except KeyboardInterrupt:  # between the command's end and the timer's
            return "after the end"

    def timed() -> float:
        began = time.perf_counter()
        profile()
        return time.perf_counter() - began

    whole = min(timed() for _ in range(4))  # the first one imports
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)

    draw, outcomes = random.Random(int(seed)), []
    for _ in range(int(number)):
        path.unlink(missing_ok=True)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(1e-4, draw.random() * whole))
            code = profile()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            code = "after the end"
        found = "absent"
        if path.exists():
            found = load_report(path)["protocol"]["stopped_by"]  # raises if it is broken
        # Other work on the machine makes a profile take longer, or shorter, than it did before.
        whole *= {"absent": 1.25, "time": 0.8}.get(found, 1.0)
        outcomes.append([code, found, sorted(os.listdir(folder))])
    json.dump({"whole_s": whole, "outcomes": outcomes}, sys.stdout)


if __name__ == "__main__":
    main()
