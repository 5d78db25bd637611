"""Train the embedded model from nothing: ``python -m benchmarks.tiny.train``.

Stages A (the vision tower on patch labels) and B1 to B4 (the language model on symbolic
vision tokens) do not need one another; on a machine with two cores, run them side by side::

    python -m benchmarks.tiny.train --threads 1 --stages A1 A2 A3 A4 &
    python -m benchmarks.tiny.train --threads 1 --stages B1 B2 B3 B4 & wait
    torchrun --standalone --nproc-per-node 2 -m benchmarks.tiny.train --threads 1

The last command finds A and B1 to B4 done, practises language a little more (B5), aligns both
parts (C), trains them together (D), puts a price on moving vision tokens (D2) and exports. It runs
two workers that average their gradients; ``batch`` below is per worker. A run that was stopped
goes on from its last checkpoint, and every step draws its data from its own seed.

D2 alone needs no other stage's checkpoint: it goes on from an exported model, ``--start``.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import distributed, nn
from transformers import LlavaForConditionalGeneration

from benchmarks.tiny.export import ASSETS, export
from benchmarks.tiny.joint import Tiny, align, train_jointly
from benchmarks.tiny.language import Lesson, Reader, deepen, train_language
from benchmarks.tiny.loop import Stage
from benchmarks.tiny.model import GRID, LAYERS
from benchmarks.tiny.packing import Packer
from benchmarks.tiny.priced import train_priced
from benchmarks.tiny.tokenizer import build_tokenizer
from benchmarks.tiny.vision import PatchReader, train_vision

STAGES = (
    Stage("A1", "vision tower, 6x6 patches, one shape", 1200, lr=2e-3, batch=48),
    Stage("A2", "vision tower, 12x12 patches, one or two shapes", 800, lr=2e-3, batch=16),
    Stage("A3", "vision tower, whole pictures and mosaics", 400, lr=1.5e-3, batch=4),
    Stage("A4", "vision tower, the same in larger batches", 800, lr=1e-3, batch=8),
    Stage("B1", "language, 6 layers, no negated questions", 2000, lr=2e-3, batch=8),
    Stage("B2", "language, all questions", 800, lr=2e-3, batch=8),
    Stage("B3", "language, mostly order, counts, unmarked motion", 1400, lr=2e-3, batch=8),
    Stage("B4", "language, 12 layers", 500, lr=1.5e-3, batch=8),
    Stage("B5", "language, up to half of the patches", 650, lr=1.5e-3, batch=8, decay=0.5),
    Stage("C", "projector alone", 200, lr=2e-3, batch=8, decay=0.35),
    Stage("D", "everything, all vision tokens", 1400, lr=4e-4, batch=2, decay=0.6),
    Stage(
        "D2",
        "language alone, with a price on moving vision tokens",
        800,
        lr=4e-4,
        batch=2,
        decay=0.5,
        price=2e-3,
    ),
)
WINDOWS = {"A1": 6, "A2": 12, "A3": GRID, "A4": GRID}
EASY = (
    "shape of color",
    "color of shape",
    "only shape",
    "exists",
    "not exists",
)
LESSONS = {
    "B1": Lesson((24, 32, 64), kept={"not exists": 0.0}),
    "B2": Lesson((32, 48, 96)),
    "B3": Lesson((24, 32, 64), kept=dict.fromkeys(EASY, 0.2), still=0.6),
    "B4": Lesson((48, 96, 192), kept=dict.fromkeys(EASY, 0.3), still=0.6),
    "B5": Lesson((48, 96, 192, 288), kept=dict.fromkeys(EASY, 0.4), still=0.6),
}


@dataclass
class Course:
    """What the stages hand on to one another, each stage resuming from its own checkpoint.

    Attributes:
        folder: where checkpoints are kept.
        assets: where the model is exported.
        start: the exported model that D2 goes on from; D's own export by default.
    """

    folder: Path
    assets: Path
    device: torch.device
    start: Path

    def __post_init__(self) -> None:
        self.tokenizer = build_tokenizer()
        self.packer = Packer(self.tokenizer)
        self.vision = PatchReader().to(self.device)
        self.language = Reader(self.tokenizer, LAYERS // 2).to(self.device)
        self.tiny: Tiny | None = None

    def run(self, stage: Stage) -> None:
        """Run one stage on what the stages before it left."""
        checkpoint = self.folder / f"{stage.name}.pt"
        if stage.name in WINDOWS:
            train_vision(stage, self.vision, WINDOWS[stage.name], checkpoint, self.device)
        elif stage.name in LESSONS:
            if stage.name == "B4":
                self.language = deepen(self.language, self.tokenizer, LAYERS).to(self.device)
            train_language(
                stage, self.language, self.packer, LESSONS[stage.name], checkpoint, self.device
            )
        elif stage.name == "D2":
            self._run_priced(stage, checkpoint)
        else:
            self._run_joint(stage, checkpoint)

    def _run_priced(self, stage: Stage, checkpoint: Path) -> None:
        llava = LlavaForConditionalGeneration.from_pretrained(self.start, dtype=torch.float32)
        whole: nn.Module = llava
        whole.to(self.device)
        train_priced(
            stage,
            llava,
            self.packer,
            checkpoint,
            self.device,
            on_save=lambda _: export(llava, self.tokenizer, self.assets),
        )

    def _run_joint(self, stage: Stage, checkpoint: Path) -> None:
        if self.tiny is None:
            torch.manual_seed(0)
            self.tiny = Tiny(self.vision, self.language, self.tokenizer).to(self.device)
        tiny = self.tiny
        if stage.name == "C":
            align(stage, tiny, self.language.eyes, checkpoint, self.device)
            return
        train_jointly(
            stage,
            tiny,
            self.packer,
            checkpoint,
            self.device,
            on_save=lambda _: export(tiny.llava, self.tokenizer, self.assets),
        )


def main() -> None:
    """Run the chosen stages in order."""
    names = [stage.name for stage in STAGES]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--stages",
        nargs="*",
        default=names,
        choices=names,
        help="stages to run, in order (default: all)",
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--folder", type=Path, default=Path("build/tiny"), help="where checkpoints are kept"
    )
    parser.add_argument("--assets", type=Path, default=ASSETS, help="where the model is exported")
    parser.add_argument(
        "--start", type=Path, help="the exported model that D2 goes on from (default: --assets)"
    )
    parser.add_argument("--steps", type=int, help="a stage, not the plan's: does it run at all?")
    parser.add_argument("--seed", type=int, default=0, help="another one draws other data")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo")
    torch.manual_seed(0)
    args.folder.mkdir(parents=True, exist_ok=True)
    course = Course(args.folder, args.assets, torch.device(args.device), args.start or args.assets)
    for stage in STAGES:
        if stage.name in args.stages:
            steps = stage.steps if args.steps is None else args.steps
            course.run(replace(stage, steps=steps, seed=args.seed))


if __name__ == "__main__":
    main()
