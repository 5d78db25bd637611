"""A small model and prompts that grow, of which nothing runs: what is told of many sizes."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from tests.checkpoints import save_config
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.sizes import Growing, Shown, Sizes
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records.curves import BATCH_SIZE, FRAMES
from v2drop_cli.schedule import Schedule

MOST = 40
DENSE = Arm("dense")
DROPPED = Arm("v2drop 1:0.25", "v2drop", Schedule.parse("1:0.25"))


@functools.cache
def small() -> LoadedModel:
    """Dummy weights; 6 layers, 36 vision tokens a frame. Whoever borrows it changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        config = save_config(Path(folder) / "model") / "config.json"
        made_up = SyntheticInput(frames=2, text_tokens=5)
        return load(str(config), device="cpu", weights="dummy", synthetic=made_up)


def frames(size: int) -> Shown:
    return Shown((), SyntheticInput(frames=size, text_tokens=5))


def rows(size: int) -> Shown:
    return Shown((), SyntheticInput(text_tokens=5), size)


def clips(shown=frames, sizes=(2, 3), methods=("v2drop",), **schedules) -> Sizes:
    """A video that grows to 40 frames, with two new tokens."""
    options = ScheduleOptions(**(schedules or {"schedules": ("1:0.25",)}))
    return Sizes(small(), Growing(FRAMES, sizes, shown, MOST), "", ArmOptions(options, methods), 2)


def batches() -> Sizes:
    """A picture, for ever more rows."""
    growing = Growing(BATCH_SIZE, (1, 2), rows, 2**20)
    return Sizes(small(), growing, "", ArmOptions(ScheduleOptions(schedules=("1:0.25",))), 2)
