"""Held-out accuracy of the embedded model: ``python -m benchmarks.tiny.score``.

Every question is answered by ordinary greedy generation and counts as right where the decoded
answer equals the expected one. Scenes come from seeds that training never uses. "describe"
questions are reported and left out of the totals.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration, LlavaProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling

import v2drop_cli
from benchmarks.tiny.clips import mosaics, sample_clip
from benchmarks.tiny.export import ASSETS
from benchmarks.tiny.model import GRID, LAYERS, SIDE
from benchmarks.tiny.questions import CLIP_TASKS, SCENE_TASKS, Question, S, Task
from benchmarks.tiny.scenes import render, sample_scene
from v2drop_cli.schedule import Schedule

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

    media: str
    pictures: list[Image.Image]
    question: Question


def held_out(media: str, per_task: int) -> Iterator[Case]:
    """Draw as many questions from each task, each about a scene or clip of its own."""
    for task in range(len(SCENE_TASKS if media == "image" else CLIP_TASKS)):
        for index in range(per_task):
            rng = random.Random(f"held-out/{media}/{task}/{index}")
            if media == "image":
                scene, question = first_asked(sample_scene, SCENE_TASKS[task][0], rng)
                yield Case(media, [render(scene, SIDE)], question)
            else:
                clip, question = first_asked(sample_clip, CLIP_TASKS[task][0], rng)
                yield Case(media, mosaics(clip, SIDE), question)


def first_asked(
    sample: Callable[[random.Random], S], ask: Task[S], rng: random.Random
) -> tuple[S, Question]:
    """Draw subjects until one allows the question."""
    while True:
        subject = sample(rng)
        question = ask(subject, rng)
        if question is not None:
            return subject, question


def prompt_of(processor: LlavaProcessor, case: Case) -> str:
    """Render a question as the chat template does."""
    content: Any = [{"type": "image"} for _ in case.pictures]
    content.append({"type": "text", "text": case.question.text})
    return str(
        processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
    )


def batches(
    processor: LlavaProcessor, cases: Sequence[Case], size: int
) -> Iterator[tuple[list[Case], list[str]]]:
    """Batches of prompts of equal length, so that none needs padding."""
    groups: dict[tuple[int, int], list[tuple[Case, str]]] = defaultdict(list)
    for case in cases:
        text = prompt_of(processor, case)
        length = len(processor.tokenizer.encode(text))
        groups[len(case.pictures), length].append((case, text))
    for group in groups.values():
        for start in range(0, len(group), size):
            part = group[start : start + size]
            yield [case for case, _ in part], [text for _, text in part]


@dataclass(frozen=True)
class Batch:
    """Prompts of one length, their pictures encoded already: every arm sees the same features."""

    questions: list[Question]
    inputs: dict[str, Any]


@cache
def loaded(folder: Path) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """The model of this process."""
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


@cache
@torch.inference_mode()
def encoded(folder: Path, media: str, per_task: int, size: int) -> list[Batch]:
    """The held-out questions about one medium; drawn and seen once in each process."""
    model, processor = loaded(folder)
    found = []
    for cases, texts in batches(processor, list(held_out(media, per_task)), size):
        pictures = [picture for case in cases for picture in case.pictures]
        inputs = dict(processor(text=texts, images=pictures, return_tensors="pt"))
        seen = model.get_image_features(inputs.pop("pixel_values")).pooler_output
        inputs["mm_encoder_outputs"] = {"image": BaseModelOutputWithPooling(pooler_output=seen)}
        found.append(Batch([case.question for case in cases], inputs))
    return found


@torch.inference_mode()
def answer(folder: Path, batch: Batch) -> list[str]:
    """Generate greedily, and return the decoded answers."""
    model, processor = loaded(folder)
    longest = 24 if any("describe" in question.type for question in batch.questions) else 5
    generator: Any = model  # transformers' own annotation of generate() refuses its models
    output = generator.generate(**batch.inputs, do_sample=False, max_new_tokens=longest)
    fresh = output[:, batch.inputs["input_ids"].shape[1] :]
    return [text.strip() for text in processor.batch_decode(fresh, skip_special_tokens=True)]


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
    """One arm's questions about one medium: what a worker process does at a time."""

    arm: Arm
    media: str
    folder: Path
    per_task: int
    batch: int

    @property
    def schedule(self) -> Schedule | None:
        """The arm's schedule for this medium's number of vision tokens."""
        return self.arm.schedule(IMAGES[self.media] * GRID**2)

    def run(self) -> dict[str, dict[str, float]]:
        """Answer every question, and sum up per question type and over all."""
        torch.set_num_threads(1)
        right: dict[str, list[bool]] = defaultdict(list)
        schedule, (model, _) = self.schedule, loaded(self.folder)
        dropping = (
            v2drop_cli.dropping(model, schedule, method=self.arm.method) if schedule else None
        )
        with dropping or nullcontext():
            for batch in encoded(self.folder, self.media, self.per_task, self.batch):
                for question, given in zip(
                    batch.questions, answer(self.folder, batch), strict=True
                ):
                    hit = given == question.answer
                    right[f"{self.media}: {question.type}"].append(hit)
                    if not question.type.startswith("describe"):
                        right[f"{self.media}: all"].append(hit)
        return {name: summary(hits) for name, hits in sorted(right.items())}


def score(jobs: Sequence[Job], workers: int) -> list[dict[str, Any]]:
    """Run all jobs, and put the media of each arm together again."""
    results: dict[str, dict[str, Any]] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for job, types in zip(jobs, pool.map(Job.run, jobs), strict=True):
            empty: dict[str, Any] = {"arm": job.arm.name, "schedules": {}, "types": {}}
            result = results.setdefault(job.arm.name, empty)
            result["schedules"][job.media] = str(job.schedule or "")
            result["types"] |= types
            total = types[f"{job.media}: all"]
            print(f"{job.arm.name}, {job.media}: {total['right']} of {total['asked']}", flush=True)
    return list(results.values())


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
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--output", type=Path, help="JSON file; a .md table goes beside it")
    args = parser.parse_args()
    jobs = [
        Job(arm, media, args.model, per_task, args.batch)
        for arm in ARMS[: args.arms]
        for media, per_task in (("video", args.per_clip_task), ("image", args.per_task))
    ]
    results = score(jobs, args.workers)
    print(table(results))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(report(results, args.model), indent=2)
        args.output.write_text(content + "\n")
        args.output.with_suffix(".md").write_text(table(results))


if __name__ == "__main__":
    main()
