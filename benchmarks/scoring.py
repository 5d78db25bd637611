"""What choosing costs, method by method: python -m benchmarks.scoring

Every method of the registry, each by its own schedule at a quarter of the vision tokens, in one
run of randomised rounds. The decoder has the shapes of LLaVA-OneVision-0.5B, behind a CLIP tower
(cut to a few blocks) with a class token, for methods that ask for one: 2,304 vision tokens of one
large picture, random weights. Measured is the time between the marks around each drop: choosing,
gathering, and what the drop makes anew for the layers after it. ``random`` shows what is left of
that without choosing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import v2drop_cli
from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from benchmarks.shrink import SMALL_TEXT, changed
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.errors import V2DropError
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.stats import summarize
from v2drop_cli.measure.trials import run_rounds
from v2drop_cli.methods.registry import METHODS
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import DENSE, FEWEST_FOR_INTERVAL

OUTPUT = RESULTS / "scoring.json"
ASSET = "llava-1.5-7b.json"
BUDGET = "25%"
SIDE = 672  # pixels: 48 x 48 patches of 14
# LLaVA-OneVision-0.5B's decoder, in the terms of a Llama.
TEXT = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "head_dim": 64,
}
TOWER = {"image_size": SIDE, "num_hidden_layers": 3}
SMALL_TOWER = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}


def arms_of(
    loaded: LoadedModel, passes: Passes, methods: Sequence[str]
) -> tuple[list[Arm], dict[str, str]]:
    """Dense and one arm a method, and why there is none of some."""
    arms, refused = [Arm(DENSE)], {}
    for name in methods:
        try:
            options = ArmOptions(ScheduleOptions(budgets=(BUDGET,)), (name,))
            arm = options.resolve(loaded, passes.vision_tokens)[1]
            passes.answer(arm, 1)
        except V2DropError as error:
            refused[name] = error.message
            continue
        arms.append(arm)
    return arms, refused


def measured(
    loaded: LoadedModel, methods: Sequence[str], rounds: int, budget_s: float
) -> dict[str, Any]:
    """The shares of all methods in one run."""
    given = SyntheticInput(text_tokens=64)
    with Nvml(loaded.device) as nvml:
        passes = Passes(Subject(loaded, (), given.prompt, synthetic=given), nvml)
        arms, refused = arms_of(loaded, passes, methods)
        clock = clock_for(loaded.device)

        def trial(arm: Arm) -> Callable[[], StageTimes]:
            return lambda: passes.time(arm, clock, 1)

        began, taken = time.monotonic(), list[Sequence[StageTimes]]()
        for results in run_rounds([trial(arm) for arm in arms], repeats=rounds, warmup=1, seed=0):
            taken.append(results)
            print(f"round {len(taken)}", file=sys.stderr, flush=True)
            if len(taken) >= FEWEST_FOR_INTERVAL and time.monotonic() - began > budget_s:
                break
    dense = [row[0].prefill_s or 0.0 for row in taken]
    costs = [
        {
            "arm": arm.label,
            "method": str(arm.method),
            "schedule": str(arm.schedule),
            "drop_s": (drop_s := [row[number].drop_s or 0.0 for row in taken]),
            "share_of_dense": asdict(
                summarize([part / whole for part, whole in zip(drop_s, dense, strict=True)])
            ),
        }
        for number, arm in enumerate(arms)
        if number
    ]
    return {
        "vision_tokens": passes.vision_tokens,
        "rounds": len(taken),
        "dense_prefill_s": dense,
        "methods": costs,
        "refused": refused,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, save, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--methods", nargs="*", default=[*METHODS])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--budget", type=float, default=420.0, help="seconds of all rounds")
    parser.add_argument("--small", action="store_true", help="a tiny model: does it run at all?")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    text = SMALL_TEXT if args.small else TEXT
    tower = TOWER | (SMALL_TOWER if args.small else {})
    with tempfile.TemporaryDirectory() as folder:
        model = changed(ASSET, Path(folder) / "model", text, tower)
        loaded = v2drop_cli.load(
            model,
            device=args.device,
            dtype=args.dtype,
            weights="dummy",
            synthetic=SyntheticInput(text_tokens=64),
        )
        head = origin(loaded.device)
        head |= {"dtype": args.dtype, "attention": loaded.attn_implementation}
        result = head | measured(loaded, args.methods, args.rounds, args.budget)
    write(args.output, result)
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
