"""Everything a GPU should be asked, in one run of under ten minutes.

    python -m benchmarks.gpu            on a machine with an NVIDIA GPU
    python -m benchmarks.gpu --dry-run  tiny configurations on the CPU: does it run at all?

Each part is a process of its own with a time limit: one that fails or hangs is recorded as an
error, the others go on, and the result file is rewritten after each. Needs torch, transformers,
scipy, typer, rich and nvidia-ml-py; neither weights nor media. Parts are in order of worth, and
what the whole budget no longer holds is recorded as skipped.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import tables
from benchmarks.result import RESULTS, command, write
from benchmarks.shrink import SMALL_MROPE, SMALL_QWEN, SMALL_TEXT, changed

OUTPUT = RESULTS / "gpu.json"
ROOT = Path(__file__).parents[1]
BUDGET_S = 590.0
_LEAST_S = 5.0
_TAIL = 1500
_DRY_PATIENCE = 5  # a shared CPU may be slow; a lent GPU is dear


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to ask.

    Attributes:
        name: key in the result file.
        arguments: after ``python -m``; ``{out}`` is the JSON file that it writes.
        limit_s: seconds until it is stopped.
        needs: a module without which it is skipped.
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: float
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Profiled:
    """A model to profile.

    Attributes:
        name: of the part.
        asset: its shipped configuration.
        tower: numbers that make its tower tiny, for a dry run.
        options: what to look at and how to drop.
        limit_s: of the part.
    """

    name: str
    asset: str
    tower: dict[str, Any]
    options: tuple[str, ...]
    limit_s: float

    def part(self, dry: bool, folder: Path, decode: str) -> Part:
        """Its profile, at dummy weights."""
        model = self.asset.removesuffix(".json")
        measure: tuple[str, ...] = ("--max-time", "20", "--warmup", "1")
        device, dtype = "cuda", "bfloat16"
        if dry:
            text: dict[str, Any] = {**SMALL_TEXT}
            if "qwen2-vl" in self.asset:  # M-RoPE's sections are of the head's size
                text["rope_parameters"] = SMALL_MROPE
            model = changed(self.asset, folder / model, text, self.tower)
            measure = ("--max-time", "0", "--repeats", "3", "--warmup", "1", "--new-tokens", "2")
            device, dtype = "cpu", "float32"
        arguments = (
            *("v2drop_cli", "profile", "--model", model, "--weights", "dummy"),
            *("--device", device, "--dtype", dtype, "--max-new-tokens", "8", "--json"),
            *("--decode", decode, "--output", "{out}"),
            *self.options,
            *measure,
        )
        name = self.name if decode == "eager" else f"{self.name} {decode}"
        return Part(name, arguments, self.limit_s)


_SMALL_CLIP = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
_SMALL_CLIP |= {"num_attention_heads": 2}


def profiles(dry: bool, brief: bool = False) -> tuple[Profiled, ...]:
    """The paper's models, at its budgets; ``brief`` and at a dry run with fewer arms."""
    budgets = ("192",) if dry or brief else ("192", "128", "64")
    shares = ("25%",) if dry or brief else ("25%", "15%")
    frames = "2" if dry else "32"
    size = "112x112" if dry else "1288x966"
    return (
        Profiled("llava-1.5-7b", "llava-1.5-7b.json", _SMALL_CLIP, _each(budgets), 110),
        Profiled(
            "llava-onevision-7b",
            "llava-onevision-7b.json",
            _SMALL_CLIP,
            ("--frames", frames, *_each(shares)),
            120,
        ),
        Profiled(
            "qwen2-vl-7b",
            "qwen2-vl-7b.json",
            SMALL_QWEN,
            ("--image-size", size, *_each(("25%",))),
            90,
        ),
    )


def _each(budgets: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for budget in budgets for word in ("--budget", budget))


def parts(dry: bool, folder: Path) -> Iterator[Part]:
    """All parts, the most wanted first."""
    small = ("--small",) if dry else ()
    device = "cpu" if dry else "cuda"
    check = ("benchmarks.gpu_checks", "--device", device, "--output", "{out}")
    models = profiles(dry)
    yield Part("oracle", (*check, "--ask", "oracle", *small), 120)
    yield from (model.part(dry, folder, "eager") for model in models)
    yield Part("peak memory", (*check, "--ask", "logits", *small), 60)
    overhead = ("benchmarks.overhead", "--device", device, "--output", "{out}", *small)
    rounds = (
        ("--rounds", "3", "--bare-rounds", "3", "--frames", "2")
        if dry
        else ("--bare-rounds", "100", "--dtype", "bfloat16")
    )
    yield Part("overhead", (*overhead, *rounds, "--budget", "20"), 60)
    if not dry:  # a CPU refuses it by name
        recorded = profiles(dry, brief=True)[:2]  # each arm is recorded three times
        yield from (model.part(dry, folder, "compiled") for model in recorded)
    optimum = ("benchmarks.optimum", "--device", device, "--output", "{out}", *small)
    size = ("--side", "56", "--budget", "1") if dry else ("--dtype", "bfloat16")
    yield Part("optimum-benchmark", (*optimum, *size), 60, needs="optimum_benchmark")


def run(part: Part, folder: Path, limit_s: float) -> dict[str, Any]:
    """One part's result, or why there is none; never raises for what the part does."""
    if part.needs is not None and importlib.util.find_spec(part.needs) is None:
        return {"status": "skipped", "why": f"{part.needs} is not installed"}
    if limit_s < _LEAST_S:
        return {"status": "skipped", "why": "the budget was used up"}
    out = folder / "out.json"
    out.unlink(missing_ok=True)
    arguments = [str(out) if word == "{out}" else word for word in part.arguments]
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        status = "ok" if done.returncode == 0 else "error"
        found: dict[str, Any] = {"status": status, "exit_code": done.returncode}
        if done.returncode:
            found["stderr"] = done.stderr[-_TAIL:].replace(str(ROOT), ".")
    except subprocess.TimeoutExpired:
        found = {"status": "error", "why": f"stopped after {limit_s:.0f} s"}
    found["elapsed_s"] = round(time.monotonic() - began, 1)
    if out.is_file():  # of a profile that was stopped, the rounds so far
        found["result"] = _shortened(json.loads(out.read_text(encoding="utf-8")))
    return found


def _shortened(report: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a report which tokens were kept: of made-up pixels that says nothing."""
    for arm in report.get("arms", ()):
        for drop in arm["drops"]:
            drop.pop("kept")
    return report


def _origin(device: str) -> dict[str, Any]:
    """Asked in a process of its own: this one must hold no context beside those that measure."""
    program = "import json, sys, torch; from benchmarks.result import origin; "
    program += "print(json.dumps(origin(torch.device(sys.argv[1]))))"
    done = subprocess.run(
        [sys.executable, "-c", program, device],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"command": command()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask everything, saving after each part; fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--dry-run", action="store_true", help="tiny configurations on the CPU")
    parser.add_argument("--only", action="append", help="a part's name; repeatable")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds of all parts")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(arguments)
    if not args.dry_run and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here; --dry-run needs none")
    output = args.output or (None if args.dry_run else OUTPUT)
    head = _origin("cpu" if args.dry_run else "cuda") | {"dry_run": args.dry_run}
    began, results = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as name:
        for part in parts(args.dry_run, Path(name)):
            if args.only and part.name not in args.only:
                continue
            left_s = args.budget - (time.monotonic() - began)
            patience = _DRY_PATIENCE if args.dry_run else 1
            limit_s = min(patience * part.limit_s, left_s)
            results[part.name] = run(part, Path(name), limit_s)
            said = {k: v for k, v in results[part.name].items() if k != "result"}
            print(f"{part.name}: {said}", file=sys.stderr, flush=True)
            if output is not None:
                elapsed = {"elapsed_s": round(time.monotonic() - began, 1)}
                write(output, head | elapsed | {"parts": results})
    if output == OUTPUT:
        tables.main()
    if args.dry_run and any(found["status"] == "error" for found in results.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
