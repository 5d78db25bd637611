"""Which vision tokens should stay in ``tiny``: ``python -m benchmarks.tiny.variant_study``.

Draws scenes and clips from a seed of its own, asks several questions about each, and answers them
dense and by every variant at every schedule: see :mod:`benchmarks.tiny.branching`. Questions about
one scene are no independent trials. So 95 % intervals come from drawing *scenes* again (bootstrap),
and the difference to random selection is paired: both answer the same questions.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.result import origin, write
from benchmarks.tiny.branching import branching
from benchmarks.tiny.export import ASSETS
from benchmarks.tiny.grounds import textured
from benchmarks.tiny.model import GRID, LAYERS, SIDE
from benchmarks.tiny.patches import PatchLabels, mosaic_labels, patch_labels
from benchmarks.tiny.score import DROP_LAYERS
from benchmarks.tiny.variants import BEFORE, MAIN, TRIED, Variant
from benchmarks.tiny.workers import in_turn
from v2drop_cli.schedule import Schedule, solve_budget
from v2drop_cli.tasks.drawn.clips import mosaics, sample_clip
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS, Question, S, Task
from v2drop_cli.tasks.drawn.scenes import sample_scene

# The others are answered from what layer 0 has told the text: they cannot rank methods.
HARD = {
    "only shape",
    "count",
    "beside",
    "describe",
    "moving color",
    "appears first",
    "appears last",
    "describe video",
}
_DRAWN_AGAIN = 2000
_ASKED = 2


@dataclass(frozen=True)
class Setting:
    """A schedule for any number of vision tokens, and the variants to try with it."""

    name: str
    variants: Mapping[str, Variant]
    drops: str = ""
    share: Fraction = Fraction(1)

    def schedule(self, vision: int) -> Schedule:
        """The drops as written, or those whose layer average is the share."""
        if self.drops:
            return Schedule.parse(self.drops)
        budget = float(self.share * vision)
        return solve_budget(budget, n_vision=vision, n_layers=LAYERS, layers=DROP_LAYERS)


DEFAULT = "1:0.5,6:0.3,8:0"
STUDIES: dict[str, tuple[Setting, ...]] = {
    "main": (
        Setting("default", MAIN, DEFAULT),
        Setting("2/9", MAIN, share=Fraction(2, 9)),
        Setting("1/9", TRIED, share=Fraction(1, 9)),
        Setting("a quarter from layer 1", MAIN, "1:0.25"),
        Setting("a quarter from layer 2", MAIN, "2:0.25"),
        Setting("a quarter from layer 4", MAIN, "4:0.25"),
        Setting("a ninth before layer 0", BEFORE, "0:0.1112"),
    ),
    "textured": (
        Setting("default", MAIN, DEFAULT),
        Setting("1/9", MAIN, share=Fraction(1, 9)),
    ),
}


@dataclass(frozen=True)
class Hits:
    """One scene's questions: types, and which were right, dense and by setting and variant."""

    types: list[str]
    dense: list[bool]
    variants: dict[str, dict[str, list[bool]]]


def asked_of(
    subject: S, tasks: Sequence[tuple[Task[S], int]], rng: random.Random
) -> list[Question]:
    """Ask each task twice; what does not fit the subject, or repeats an answer, is left out."""
    found: dict[tuple[str, str], Question] = {}
    for ask, _ in tasks:
        for _ in range(_ASKED):
            question = ask(subject, rng)
            if question is not None:
                found[question.type, question.answer] = question
    return list(found.values())


def subject(
    media: str, study: str, rng: random.Random
) -> tuple[list[Image.Image], PatchLabels, list[Question]]:
    """Draw a scene or a clip: its pictures, what their patches show, and the questions."""
    if media == "video":
        clip = sample_clip(rng)
        return mosaics(clip, SIDE), mosaic_labels(clip, GRID), asked_of(clip, CLIP_TASKS, rng)
    scene = sample_scene(rng)
    questions = asked_of(scene, SCENE_TASKS, rng)
    picture = textured(scene, SIDE, rng) if study == "textured" else render(scene, SIDE)
    return [picture], patch_labels(scene, GRID), questions


Plain = tuple[list[str], list[bool], dict[str, dict[str, list[bool]]]]


@dataclass(frozen=True)
class Job:
    """What a worker process is told."""

    folder: Path
    study: str
    media: str
    seed: str

    def hits(self, index: int) -> Plain:
        """Draw subject number ``index``, and try everything with it: what :class:`Hits` holds.

        In plain lists: a class of the module that is run has another name in other processes.
        """
        torch.set_num_threads(1)
        model = branching(self.folder)
        rng = random.Random(f"{self.seed}/{self.media}/{index}")
        pictures, labels, questions = subject(self.media, self.study, rng)
        shown = torch.from_numpy(labels.owner.ravel() >= 0)
        asked = model.ask(pictures, questions, shown, index)
        dense = model.dense(asked)
        found = {}
        for setting in STUDIES[self.study]:
            schedule = setting.schedule(asked.vision)
            rows = model.right(asked, dense, schedule, list(setting.variants.values()))
            found[setting.name] = dict(zip(setting.variants, rows, strict=True))
        return [q.type for q in questions], model.judged(asked, dense[-1])[0], found


def collect(job: Job, count: int, workers: int, minutes: float) -> list[Hits]:
    """Work through subjects until there are enough or time is up; then those that are there."""
    found: list[Hits] = []
    end = time.monotonic() + 60 * minutes
    for hits in in_turn(job.hits, range(count), workers):
        found.append(Hits(*hits))
        if len(found) % 50 == 0:
            print(f"{job.study}, {job.media}: {len(found)} of {count}", flush=True)
        if time.monotonic() > end:
            break
    return found


def groups(types: set[str]) -> dict[str, set[str]]:
    """Which question types are summed up together; descriptions are told apart from all others."""
    described = {name for name in types if name.startswith("describe")}
    named = {
        "all": types - described,
        "hard": types & HARD,
        "easy": types - HARD,
        "describe": described,
    }
    return named | {name: {name} for name in sorted(types)}


def _counts(rows: Sequence[tuple[list[str], list[bool]]], wanted: set[str]) -> np.ndarray:
    """``[subjects, 2]``: how many questions of these types, and how many were right."""
    return np.array(
        [
            (
                sum(name in wanted for name in types),
                sum(hit for name, hit in zip(types, hits, strict=True) if name in wanted),
            )
            for types, hits in rows
        ],
        dtype=np.float64,
    )


class Again:
    """The same subjects drawn again and again, with replacement."""

    def __init__(self, subjects: int) -> None:
        draws = np.random.default_rng(0).integers(0, subjects, (_DRAWN_AGAIN, subjects))
        self._weights = np.stack([np.bincount(row, minlength=subjects) for row in draws])

    def share(self, counts: np.ndarray, less: np.ndarray | None = None) -> list[float]:
        """A share of right answers, less another one if there is one, with its 95 % interval."""
        right = counts[:, 1] if less is None else counts[:, 1] - less[:, 1]
        drawn = (self._weights @ right) / np.maximum(self._weights @ counts[:, 0], 1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        return [round(float(x), 5) for x in (right.sum() / counts[:, 0].sum(), low, high)]


def summed_up(hits: list[Hits], settings: Sequence[Setting], vision: int) -> Any:
    """Shares of right answers by setting, group of questions and variant."""
    again, types = Again(len(hits)), {name for hit in hits for name in hit.types}
    summary: dict[str, Any] = {
        "subjects": len(hits),
        "questions": sum(len(hit.types) for hit in hits),
        "settings": {},
    }
    for setting in settings:
        summary["settings"][setting.name] = {
            "schedule": str(setting.schedule(vision)),
            "groups": {
                name: _group(hits, setting, wanted, again)
                for name, wanted in groups(types).items()
                if wanted
            },
        }
    return summary


def _group(hits: list[Hits], setting: Setting, wanted: set[str], again: Again) -> dict[str, Any]:
    dense = _counts([(hit.types, hit.dense) for hit in hits], wanted)
    arms = {
        name: _counts([(hit.types, hit.variants[setting.name][name]) for hit in hits], wanted)
        for name in setting.variants
    }
    random_counts = arms["random"]
    found: dict[str, Any] = {"dense": {"right": again.share(dense)}}
    for name, counts in arms.items():
        found[name] = {"right": again.share(counts)}
        if name != "random":
            found[name]["less_random"] = again.share(counts, random_counts)
    return {"asked": int(dense[:, 0].sum()), "arms": found}


def main() -> None:
    """Ask, sum up, and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", choices=STUDIES, default="main")
    parser.add_argument("--model", type=Path, default=ASSETS)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seed", default="variants")
    parser.add_argument("--minutes", type=float, default=60.0, help="at most so long per medium")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    args = parser.parse_args()
    media = {"image": args.scenes, "video": args.clips}
    weights = (args.model / "model.safetensors").read_bytes()
    result: dict[str, Any] = {
        **origin(),
        "checkpoint_sha256": hashlib.sha256(weights).hexdigest(),
        "study": args.study,
        "seed": args.seed,
        "media": {},
    }
    for name, count in media.items():
        if not count:
            continue
        job = Job(args.model, args.study, name, args.seed)
        hits = collect(job, count, args.workers, args.minutes)
        vision = GRID**2 * (2 if name == "video" else 1)
        result["media"][name] = summed_up(hits, STUDIES[args.study], vision)
        write(args.output, result)


if __name__ == "__main__":
    main()
