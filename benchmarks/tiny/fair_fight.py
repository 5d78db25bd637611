"""Every method on the embedded model at equal budgets: python -m benchmarks.tiny.fair_fight

Accuracy on questions about drawn scenes and clips, from a seed that nothing else uses, with 95 %
Wilson intervals. Every question is about a scene or clip of its own. It counts as right where
every token of the answer, the end mark included, is the most likely one: first after the prompt,
which each method shortens as it is published, then after the answer's tokens on the same cache.
Whole sentences ("describe") are not asked.

Methods are those of ``--method all``, each with its own knobs for a layer average of 1/3, 2/9 and
1/9 of the vision tokens. Where a method's counts depend on the prompt, its thresholds are found on
one prompt and kept, so its layer average there is told. Ten questions are asked at once; a test
of ``eval`` holds that a batch answers as its rows alone.

It takes hours. The file is written after every job, and ``--go-on`` takes up a run that was broken
off where its file says, with the same options; questions are drawn one by one from their own seeds.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, zip_longest
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

import v2drop_cli
from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from benchmarks.tiny.model import SIDE
from benchmarks.tiny.score import summary
from benchmarks.tiny.variant_study import HARD
from benchmarks.tiny.workers import in_turn
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.watch import Watch
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image, load_video
from v2drop_cli.methods.base import TOWER
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.arguments import cache_name
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import Caveat
from v2drop_cli.tasks.built_in import first_asked
from v2drop_cli.tasks.drawn.clips import mosaics, sample_clip
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS, Question
from v2drop_cli.tasks.drawn.scenes import sample_scene

OUTPUT = RESULTS / "fair-fight.json"
SAMPLES = Path(__file__).parents[2] / "sample_media"
# Layer averages, as shares of the vision tokens.
BUDGETS = ("33.33%", "22.22%", "11.11%")
MEDIA = ("image", "video")
# Variants of v2drop that it is compared with elsewhere: docs/variants.md.
LEFT_OUT = ("v2drop-l1", "v2drop-cosine")
_SEED = "fair fight 2026-11"
_CHUNK = 10


@dataclass(frozen=True)
class Asked:
    """One question, ready for the model: its tensors, and the answer's tokens with the end mark."""

    kind: str
    tensors: dict[str, Any]
    answer: list[int]


@cache
def model() -> LoadedModel:
    """The embedded model of this process."""
    torch.set_num_threads(1)
    return v2drop_cli.load("tiny", device="cpu", dtype="float32")


def arms_of(media: str, methods: Sequence[str]) -> tuple[list[Arm], list[Caveat]]:
    """Dense and all methods at all budgets, for prompts with one picture or one clip."""
    loaded = model()
    file = SAMPLES / ("scene.png" if media == "image" else "clip.mp4")
    shown = load_image(file) if media == "image" else load_video(file, 8)
    options = ArmOptions(ScheduleOptions(budgets=BUDGETS), tuple(methods))
    with Nvml(loaded.device) as nvml:
        passes = Passes(Subject(loaded, (shown,), "what is the shape?"), nvml)
        arms = line_up(options, passes, Watch())
        fighting = [a for a in arms if a.method is None or a.method.split(":")[0] not in LEFT_OUT]
        return fighting, list(passes.caveats())


def question_of(media: str, task: int, index: int) -> Asked:
    """Draw the question, with a scene or clip of its own."""
    rng = random.Random(f"{_SEED}/{media}/{task}/{index}")
    if media == "image":
        scene, question = first_asked(sample_scene, SCENE_TASKS[task][0], rng)
        pictures = [render(scene, SIDE)]
    else:
        clip, question = first_asked(sample_clip, CLIP_TASKS[task][0], rng)
        pictures = mosaics(clip, SIDE)
    return _ready(question, pictures)


def _ready(question: Question, pictures: Sequence[Any]) -> Asked:
    processor = model().processor
    content: list[dict[str, str]] = [{"type": "image"} for _ in pictures]
    content.append({"type": "text", "text": question.text})
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    tensors = dict(processor(text=text, images=list(pictures), return_tensors="pt"))
    words = processor.tokenizer(f" {question.answer}", add_special_tokens=False)["input_ids"]
    return Asked(question.type, tensors, [*words, processor.tokenizer.eos_token_id])


@dataclass(frozen=True)
class Batch:
    """Questions asked at once, the shorter prompts padded on the left.

    Attributes:
        tensors: ``[questions, columns]``, and pixels of all pictures behind each other.
        wanted: ``[questions, tokens]``, the answers; behind shorter ones stands the end mark.
        counted: which of these are the answer's own.
    """

    tensors: dict[str, torch.Tensor]
    wanted: torch.Tensor
    counted: torch.Tensor

    @classmethod
    def of(cls, questions: Sequence[Asked]) -> Batch:
        """All of one medium, with as many vision tokens each."""
        columns = max(one.tensors["input_ids"].shape[1] for one in questions)
        tensors = {
            "input_ids": _stack([one.tensors["input_ids"] for one in questions], columns),
            "attention_mask": _stack([one.tensors["attention_mask"] for one in questions], columns),
            "pixel_values": torch.cat([one.tensors["pixel_values"] for one in questions]),
        }
        rows = [torch.tensor(one.answer) for one in questions]
        end = questions[0].answer[-1]
        wanted = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=end)
        lengths = torch.tensor([[len(row)] for row in rows])
        return cls(tensors, wanted, torch.arange(wanted.shape[1]) < lengths)


def _stack(rows: Sequence[torch.Tensor], columns: int) -> torch.Tensor:
    """Rows ``[1, tokens]`` behind zeros; what a masked column holds is read by nobody."""
    return torch.cat([torch.nn.functional.pad(row, (columns - row.shape[1], 0)) for row in rows])


@torch.inference_mode()
def right(batch: Batch, arm: Arm, seen: Any) -> list[bool]:
    """Whether ``arm`` answers so; ``seen`` are the encoded pictures, for methods that take them."""
    loaded, tensors = model(), dict[str, Any](batch.tensors)
    if arm.method is None or TOWER not in get_method(arm.method).needs:
        del tensors["pixel_values"]
        tensors["mm_encoder_outputs"] = {"image": BaseModelOutputWithPooling(pooler_output=seen)}
    held = {cache_name(loaded.model): DynamicCache(), "use_cache": True}
    given = batch.wanted[:, :-1]
    mask = torch.cat([tensors["attention_mask"], torch.ones_like(given)], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)  # as generate numbers them
    n = tensors["input_ids"].shape[1]
    with arm.applied(loaded):
        said = loaded.model(**tensors, **held, position_ids=positions[:, :n], logits_to_keep=1)
        logits = [said.logits]
        if given.shape[1]:
            again = {"attention_mask": mask, "position_ids": positions[:, n:]}
            logits.append(loaded.model(input_ids=given, **again, **held).logits)
    hit = torch.cat(logits, dim=1).argmax(dim=-1) == batch.wanted
    return (hit | ~batch.counted).all(dim=1).tolist()


@dataclass(frozen=True)
class Job:
    """What a worker process is told: some questions of one task about one medium."""

    media: str
    task: int
    first: int
    count: int
    arms: tuple[Arm, ...]

    def run(self) -> list[tuple[str, dict[str, bool]]]:
        """Each question's type, and per arm whether it was right."""
        numbers = range(self.first, self.first + self.count)
        questions = [question_of(self.media, self.task, number) for number in numbers]
        batch = Batch.of(questions)
        with torch.inference_mode():
            seen = model().model.get_image_features(batch.tensors["pixel_values"]).pooler_output
        hits = {arm.label: right(batch, arm, seen) for arm in self.arms}
        return [
            (one.kind, {label: hits[label][place] for label in hits})
            for place, one in enumerate(questions)
        ]


def jobs_of(media: str, per_task: int, arms: Sequence[Arm]) -> Iterator[Job]:
    """All questions about one medium, a few of each task in turn."""
    tasks = SCENE_TASKS if media == "image" else CLIP_TASKS
    asked = [n for n in range(len(tasks)) if not _describes(media, n)]
    for first in range(0, per_task, _CHUNK):
        for task in asked:
            yield Job(media, task, first, min(_CHUNK, per_task - first), tuple(arms))


def _describes(media: str, task: int) -> bool:
    return question_of(media, task, 0).kind.startswith("describe")


@dataclass
class Medium:
    """One medium's arms, what there is to say of them, and per arm and kind what was right."""

    media: str
    arms: list[Arm]
    caveats: list[Caveat]
    hits: dict[str, dict[str, list[int]]]  # right, asked

    @classmethod
    def of(cls, media: str, methods: Sequence[str]) -> Medium:
        """Before the first question."""
        arms, caveats = arms_of(media, methods)
        return cls(media, arms, caveats, {arm.label: defaultdict(lambda: [0, 0]) for arm in arms})

    def take_up(self, told: Mapping[str, Any]) -> None:
        """Count on from what :meth:`told` wrote."""
        for arm in told["arms"]:
            for name, found in arm.items():
                if isinstance(found, dict):
                    self.hits[arm["arm"]][name] = [found["right"], found["asked"]]

    def add(self, answers: Sequence[tuple[str, dict[str, bool]]]) -> None:
        """What one job found."""
        for kind, by_arm in answers:
            for label, hit in by_arm.items():
                for name in ("all", "hard") if kind in HARD else ("all",):
                    counts = self.hits[label][name]
                    counts[0] += hit
                    counts[1] += 1

    @property
    def asked(self) -> int:
        """Questions so far."""
        return self.hits["dense"]["all"][1] if self.hits["dense"] else 0

    def told(self) -> dict[str, Any]:
        """The same for the result file."""
        return {
            "media": self.media,
            "arms": [_result(arm, self.hits[arm.label]) for arm in self.arms],
            "caveats": [caveat.message for caveat in self.caveats],
        }


def fought(
    methods: Sequence[str],
    per_task: Mapping[str, int],
    workers: int,
    before: Sequence[Mapping[str, Any]] = (),
) -> Iterator[list[dict[str, Any]]]:
    """The results of both media, again after each job: a run that is broken off leaves them.

    Args:
        methods: as ``--method`` takes them.
        per_task: questions of each task, by medium.
        workers: processes.
        before: the last results of a run that was broken off.
    """
    found = {media: Medium.of(media, methods) for media in MEDIA}
    for told in before:
        found[told["media"]].take_up(told)
    by_media = [jobs_of(media, per_task[media], found[media].arms) for media in MEDIA]
    # In turn, so that both media are there from the beginning.
    jobs = [job for turn in zip_longest(*by_media) for job in turn if job is not None]
    done = _done(jobs, sum(medium.asked for medium in found.values()))
    answered = zip(jobs[done:], in_turn(Job.run, jobs[done:], workers), strict=True)
    for number, (job, answers) in enumerate(answered, done + 1):
        print(f"{number} of {len(jobs)}", flush=True)
        found[job.media].add(answers)
        if all(medium.hits["dense"] for medium in found.values()):
            yield [medium.told() for medium in found.values()]


def _done(jobs: Sequence[Job], asked: int) -> int:
    """How many of the first jobs ``asked`` questions are."""
    ends = [0, *accumulate(job.count for job in jobs)]
    if asked not in ends:
        raise SystemExit("the file is of a run with other options: leave --go-on out")
    return ends.index(asked)


def _result(arm: Arm, hits: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    return {
        "arm": arm.label,
        "method": arm.method,
        "schedule": None if arm.schedule is None else str(arm.schedule),
        **{n: summary([True] * right + [False] * (k - right)) for n, (right, k) in hits.items()},
    }


def begun(broken_off: Mapping[str, Any]) -> dict[str, str]:
    """When a run that was broken off began, and with which code."""
    return {key: broken_off["environment"][key] for key in ("date", "commit")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask everything, save, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--methods", nargs="*", default=["all"])
    parser.add_argument("--per-task", type=int, default=300, help="questions a task on images")
    parser.add_argument("--per-clip-task", type=int, default=100, help="the same on clips")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--go-on", action="store_true", help="from where --output was broken off")
    args = parser.parse_args(arguments)
    head = origin()
    per_task = {"image": args.per_task, "video": args.per_clip_task}
    before = json.loads(args.output.read_text(encoding="utf-8")) if args.go_on else {"media": ()}
    if args.go_on:
        head["begun"] = before.get("begun") or begun(before)
    for media in fought(args.methods, per_task, args.workers, before["media"]):
        write(args.output, head | {"budgets": BUDGETS, "media": media})
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
