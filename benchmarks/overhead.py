"""What the tool itself costs, and how much of the ideal speed-up it realises.

    python -m benchmarks.overhead

A decoder with the shapes of LLaVA-OneVision-0.5B and random weights (its tower cut to one layer,
for only the decoder is looked at), a made-up video of over 2,000 vision tokens, v2drop at 25 % of
them. Every figure is a ratio of times taken in one run, in randomised rounds:

- scoring and gathering, as a share of dense prefill (goal: at most 0.5 %);
- the realised prefill speed-up over the ideal one, which FLOPs imply (goal: at least 0.9);
- a dense answer through ``profile``'s machinery over a bare loop (goal: within 1 %), and the
  machinery's time around the model's forward in the very same trials, which no noise hides.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import v2drop_cli
from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from benchmarks.shrink import SMALL_TEXT, changed
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.generate.decoding import new_cache
from v2drop_cli.generate.greedy import drop_idle_mask
from v2drop_cli.instrument.hooks import After, Before, hooked
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.stats import paired_difference, paired_ratio, summarize
from v2drop_cli.measure.trials import run_rounds, run_trials
from v2drop_cli.models.arguments import cache_name
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import FEWEST_FOR_INTERVAL

OUTPUT = RESULTS / "overhead.json"
ASSET = "llava-onevision-0.5b.json"
DENSE, V2DROP, RANDOM = "dense", "v2drop", "random"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure.

    Attributes:
        frames: of the video; 196 vision tokens each.
        bare_frames: of the shorter one for the comparison with a bare loop.
        rounds: of dense, v2drop and random.
        bare_rounds: of machinery and bare loop: many, for a per cent is to be seen.
        budget_s: stop taking rounds of the three arms after this long, once intervals are known.
    """

    frames: int
    bare_frames: int
    rounds: int
    bare_rounds: int
    budget_s: float


def subject(loaded: LoadedModel, frames: int) -> Subject:
    """A made-up video with 32 text tokens."""
    given = SyntheticInput(frames=frames, text_tokens=32)
    return Subject(loaded, (), given.prompt, synthetic=given)


def arms_of(loaded: LoadedModel, passes: Passes) -> list[Arm]:
    """Dense, v2drop and random at a layer average of 25 %."""
    options = ArmOptions(ScheduleOptions(budgets=("25%",)), (V2DROP, RANDOM))
    return options.resolve(loaded, passes.vision_tokens)


def dropping(loaded: LoadedModel, plan: Plan) -> dict[str, Any]:
    """Scoring and gathering, and realised over ideal."""
    with Nvml(loaded.device) as nvml:
        passes = Passes(subject(loaded, plan.frames), nvml)
        arms, clock = arms_of(loaded, passes), clock_for(loaded.device)

        def trial(arm: Arm) -> Callable[[], StageTimes]:
            return lambda: passes.time(arm, clock, 1)

        began, rounds = time.monotonic(), []
        for results in run_rounds(
            [trial(arm) for arm in arms], repeats=plan.rounds, warmup=1, seed=0
        ):
            rounds.append(results)
            said = ", ".join(
                f"{a.label} {t.prefill_s:.3f} s" for a, t in zip(arms, results, strict=True)
            )
            print(f"round {len(rounds)}: {said}", file=sys.stderr, flush=True)
            if len(rounds) >= FEWEST_FOR_INTERVAL and time.monotonic() - began > plan.budget_s:
                break
        limits = [passes.limit(arm) for arm in arms]
    prefill = {
        arm.method or DENSE: [times[n].prefill_s for times in rounds] for n, arm in enumerate(arms)
    }
    drop_s = [times[1].drop_s or 0.0 for times in rounds]
    dense, ours, random = (prefill[name] for name in (DENSE, V2DROP, RANDOM))
    assert limits[0] is not None
    assert limits[1] is not None
    ideal = limits[0].prefill_flops / limits[1].prefill_flops
    speedup = paired_ratio(dense, ours)
    assert speedup is not None
    share = summarize([part / whole for part, whole in zip(drop_s, dense, strict=True)])
    difference = [a - b for a, b in zip(ours, random, strict=True)]
    over_random, interval = paired_difference(
        [d / whole for d, whole in zip(difference, dense, strict=True)], [0.0] * len(dense)
    )
    return {
        "vision_tokens": passes.vision_tokens,
        "prompt_tokens": int(passes.inputs.tensors["input_ids"].shape[1]),
        "schedule": str(arms[1].schedule),
        "layer_average_vision_tokens": passes.plan(arms[1]).layer_average,
        "rounds": len(rounds),
        "scoring_gathering_share_of_dense": asdict(share),
        "v2drop_less_random_share_of_dense": {"median": over_random, "ci95": interval},
        "prefill_speedup": asdict(speedup),
        "ideal_prefill_speedup": ideal,
        "realised_over_ideal": asdict(speedup.scaled(1 / ideal)),
        "prefill_s": prefill,
        "drop_s": drop_s,
    }


def harness(loaded: LoadedModel, plan: Plan) -> dict[str, Any]:
    """A dense first token through the machinery over the same forward in a bare loop."""
    with Nvml(loaded.device) as nvml:
        passes, clock = Passes(subject(loaded, plan.bare_frames), nvml), clock_for(loaded.device)
        tensors = drop_idle_mask(passes.inputs.to(loaded.device, loaded.dtype).tensors)

        inside: list[float] = []
        around: list[float] = []

        def entered(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inside[:] = [time.perf_counter()]

        def left(output: Any) -> None:
            inside[:] = [time.perf_counter() - inside[0]]

        def machinery() -> float:
            with hooked(Before(loaded.model, entered), After(loaded.model, left)):
                whole = passes.time(Arm(DENSE), clock, 1).wall_s
            around.append((whole - inside[0]) / whole)
            return whole

        def bare() -> float:
            cache = new_cache(loaded)
            _wait(loaded)
            began = time.perf_counter()
            with torch.no_grad():
                out = loaded.model(
                    **tensors, **{cache_name(loaded.model): cache}, use_cache=True, logits_to_keep=1
                )
                out.logits[:, -1].argmax(-1)
            _wait(loaded)
            return time.perf_counter() - began

        ours, plain = run_trials([machinery, bare], repeats=plan.bare_rounds, warmup=1, seed=0)
        ratio = paired_ratio(ours, plain)
    assert ratio is not None
    on_gpu = loaded.device.type == "cuda"
    return {
        "vision_tokens": passes.vision_tokens,
        "rounds": len(ours),
        "machinery_over_bare": asdict(ratio),
        # On a GPU the host leaves the forward before the device does.
        "share_around_forward": asdict(summarize(around[1:])) if not on_gpu else None,
        "machinery_s": ours,
        "bare_s": plain,
    }


def _wait(loaded: LoadedModel) -> None:
    if loaded.device.type == "cuda":
        torch.cuda.synchronize(loaded.device)


def measure(model: str, plan: Plan, device: str, dtype: str) -> dict[str, Any]:
    """Everything on one loaded model."""
    synthetic = SyntheticInput(frames=plan.frames)
    loaded = v2drop_cli.load(
        model, device=device, dtype=dtype, weights="dummy", synthetic=synthetic
    )
    head = origin(loaded.device) | {"dtype": dtype, "attention": loaded.attn_implementation}
    parameters = sum(p.numel() for p in loaded.family.decoder(loaded.model).parameters())
    head |= {"decoder_parameters": parameters, "decoder_layers": loaded.n_layers}
    return head | {"harness": harness(loaded, plan), "dropping": dropping(loaded, plan)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, save, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--frames", type=int, default=11, help="196 vision tokens each")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--bare-rounds", type=int, default=300)
    parser.add_argument("--budget", type=float, default=330.0, help="seconds of the three arms")
    parser.add_argument("--small", action="store_true", help="a tiny model: does it run at all?")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    tower: dict[str, Any] = {"num_hidden_layers": 1}
    if args.small:
        tower |= {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2}
    text: dict[str, Any] = SMALL_TEXT if args.small else {}
    plan = Plan(args.frames, 1, args.rounds, args.bare_rounds, args.budget)
    with tempfile.TemporaryDirectory() as folder:
        model = changed(ASSET, Path(folder) / "model", text, tower)
        result = measure(model, plan, args.device, args.dtype)
    write(args.output, result)
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
