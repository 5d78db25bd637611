"""Held-out accuracy of the embedded model: ``python -m benchmarks.tiny.score``.

Every question is about a scene of its own, from seeds that training never uses, and counts as
right where greedy generation gives the expected answer: see :mod:`benchmarks.tiny.branching`.
"describe" questions are reported and left out of the totals.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import v2drop_cli
from benchmarks.tiny.branching import branching
from benchmarks.tiny.export import ASSETS
from benchmarks.tiny.model import GRID, LAYERS, SIDE
from benchmarks.tiny.variants import shipped
from benchmarks.tiny.workers import in_turn
from v2drop_cli.schedule import Schedule
from v2drop_cli.tasks.built_in import first_asked
from v2drop_cli.tasks.drawn.clips import mosaics, sample_clip
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS, Question
from v2drop_cli.tasks.drawn.scenes import sample_scene

Z95 = 1.959964
IMAGES = {"image": 1, "video": 2}
# The paper drops at layers 3, 17 and 22 of 32; these are the same depths of 12.
DROP_LAYERS = (1, 6, 8)
PACKAGES = ("torch", "transformers", "tokenizers", "pillow", "numpy")


@dataclass(frozen=True)
class Arm:
    """One way of running the model: all vision tokens, or a mean share of them per layer."""

    method: str
    share: Fraction = Fraction(1)

    @property
    def name(self) -> str:
        """The method, and the share where there is one to choose."""
        return self.method if self.share == 1 else f"{self.method} {self.share}"

    def schedule(self, vision_tokens: int) -> Schedule | None:
        """The schedule that meets the share for a prompt with this many vision tokens."""
        if self.share == 1:
            return None
        return v2drop_cli.solve_budget(
            float(self.share * vision_tokens),
            n_vision=vision_tokens,
            n_layers=LAYERS,
            layers=DROP_LAYERS,
        )


SHARES = (Fraction(1, 3), Fraction(2, 9), Fraction(1, 9))
ARMS = (
    Arm("dense"),
    *(Arm(method, share) for share in SHARES for method in ("v2drop", "random", "uniform")),
)


@dataclass(frozen=True)
class Case:
    """A held-out question with the pictures it is about."""

    pictures: list[Image.Image]
    question: Question


def held_out(media: str, task: int, index: int) -> Case:
    """Draw a question of a task, about a scene or clip of its own."""
    rng = random.Random(f"held-out/{media}/{task}/{index}")
    if media == "image":
        scene, question = first_asked(sample_scene, SCENE_TASKS[task][0], rng)
        return Case([render(scene, SIDE)], question)
    clip, question = first_asked(sample_clip, CLIP_TASKS[task][0], rng)
    return Case(mosaics(clip, SIDE), question)


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion."""
    share, spread = hits / tries, Z95**2 / tries
    middle = (share + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * math.sqrt(share * (1 - share) / tries + spread / (4 * tries))
    return middle - half, middle + half


def summary(right: Sequence[bool]) -> dict[str, float]:
    """Sum up hits with their interval."""
    low, high = wilson(sum(right), len(right))
    return {
        "right": sum(right),
        "asked": len(right),
        "accuracy": sum(right) / len(right),
        "low": low,
        "high": high,
    }


@dataclass(frozen=True)
class Job:
    """What a worker process is told: one task's questions about one medium, for these arms."""

    folder: Path
    media: str
    task: int
    count: int
    arms: tuple[Arm, ...]

    def run(self) -> dict[str, list[tuple[str, bool]]]:
        """Per arm, each question's type and whether it was right."""
        torch.set_num_threads(1)
        found: dict[str, list[tuple[str, bool]]] = defaultdict(list)
        for index in range(self.count):
            case = held_out(self.media, self.task, index)
            for arm, hit in self._right(case, index).items():
                found[arm].append((case.question.type, hit))
        return dict(found)

    def _right(self, case: Case, seed: int) -> dict[str, bool]:
        model = branching(self.folder)
        vision = IMAGES[self.media] * GRID**2
        shown = torch.zeros(vision, dtype=torch.bool)  # for an oracle; none is here
        asked = model.ask(case.pictures, [case.question], shown, seed)
        dense = model.dense(asked)
        right = {"dense": model.judged(asked, dense[-1])[0][0]}
        for share in dict.fromkeys(arm.share for arm in self.arms):
            arms = [arm for arm in self.arms if arm.share == share]
            schedule = arms[0].schedule(vision)
            if schedule is not None:
                variants = [shipped(arm.method) for arm in arms]
                rows = model.right(asked, dense, schedule, variants)
                right |= {arm.name: row[0] for arm, row in zip(arms, rows, strict=True)}
        return right


def score(folder: Path, arms: Sequence[Arm], per_task: dict[str, int], workers: int) -> list[Any]:
    """Answer everything; per arm the hits of every type, and over all of each medium."""
    tasks = {"video": len(CLIP_TASKS), "image": len(SCENE_TASKS)}
    jobs = [
        Job(folder, media, task, per_task[media], tuple(arms))
        for media, number in tasks.items()
        for task in range(number)
    ]
    right: dict[str, dict[str, list[bool]]] = {arm.name: defaultdict(list) for arm in arms}
    for job, found in zip(jobs, in_turn(Job.run, jobs, workers), strict=True):
        print(f"{job.media}: task {job.task + 1} of {tasks[job.media]}", flush=True)
        for arm, answers in found.items():
            for kind, hit in answers:
                right[arm][f"{job.media}: {kind}"].append(hit)
                if not kind.startswith("describe"):
                    right[arm][f"{job.media}: all"].append(hit)
    return [_result(arm, right[arm.name]) for arm in arms]


def _result(arm: Arm, right: dict[str, list[bool]]) -> dict[str, Any]:
    """One arm's part of the report: videos first, and all types of a medium before each."""
    names = sorted(right, key=lambda name: (name.startswith("image"), name))
    schedules = {media: str(arm.schedule(n * GRID**2) or "") for media, n in IMAGES.items()}
    types = {name: summary(right[name]) for name in names}
    return {"arm": arm.name, "schedules": schedules, "types": types}


def report(results: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Add what is needed to reproduce the results."""
    weights = (folder / "model.safetensors").read_bytes()
    return {
        "date": datetime.date.today().isoformat(),
        "device": "cpu",
        "checkpoint_sha256": hashlib.sha256(weights).hexdigest(),
        "packages": {name: version(name) for name in PACKAGES},
        "arms": results,
    }


def table(results: list[dict[str, Any]]) -> str:
    """Write a Markdown table: question types down, arms across, per cent with intervals."""
    lines = [
        "| questions | " + " | ".join(result["arm"] for result in results) + " |",
        "| --- |" + " ---: |" * len(results),
    ]
    for name in results[0]["types"]:
        cells = (result["types"][name] for result in results)
        shares = (
            f"{100 * cell['accuracy']:.1f} ({100 * cell['low']:.1f}-{100 * cell['high']:.1f})"
            f" of {cell['asked']}"
            for cell in cells
        )
        lines.append(f"| {name} | " + " | ".join(shares) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Score all arms, print tables, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ASSETS)
    parser.add_argument("--per-task", type=int, default=290, help="questions a task on images")
    parser.add_argument("--per-clip-task", type=int, default=50, help="the same on clips")
    parser.add_argument("--arms", type=int, default=len(ARMS), help="only the first so many arms")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--output", type=Path, help="JSON file; a .md table goes beside it")
    args = parser.parse_args()
    per_task = {"video": args.per_clip_task, "image": args.per_task}
    results = score(args.model, ARMS[: args.arms], per_task, args.workers)
    print(table(results))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(report(results, args.model), indent=2)
        args.output.write_text(content + "\n")
        args.output.with_suffix(".md").write_text(table(results))


if __name__ == "__main__":
    main()
