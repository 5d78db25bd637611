"""The training loop all stages share: schedule, clipping, log, and resumable checkpoints."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

WARM_UP = 100
LOG_EVERY = 50
SAVE_EVERY = 200


@dataclass(frozen=True)
class Stage:
    """One row of the training plan.

    Attributes:
        decay: the share of steps, the last ones, in which the learning rate falls to 0.
        price: what moving vision tokens costs, in stages that have a price on it.
        seed: another number draws other scenes, questions and phrasings.
    """

    name: str
    note: str
    steps: int
    lr: float
    batch: int
    decay: float = 0.0
    price: float = 0.0
    seed: int = 0

    @property
    def draws(self) -> str:
        """What the seeds of this stage's steps begin with."""
        return self.name if self.seed == 0 else f"{self.name}/seed {self.seed}"


@dataclass
class Tally:
    """Hits and tries per question type (or patch label) since the last log line."""

    hits: Counter[str]
    tries: Counter[str]

    @classmethod
    def empty(cls) -> Tally:
        """Start counting."""
        return cls(Counter(), Counter())

    def add(self, name: str, hits: int, tries: int) -> None:
        """Count some tries."""
        self.hits[name] += hits
        self.tries[name] += tries

    def text(self) -> str:
        """Write shares in per cent for the log."""
        return " ".join(
            f"{name.replace(' ', '-')}={100 * self.hits[name] / tries:.1f}"
            for name, tries in sorted(self.tries.items())
            if tries
        )


StepLoss = Callable[[int, random.Random, Tally], Tensor]


def rate(stage: Stage, step: int) -> float:
    """Warm-up, constant, then a linear decay to zero over the last part of the stage."""
    left = (stage.steps - step) / stage.steps
    return stage.lr * min(1.0, (step + 1) / WARM_UP, left / stage.decay if stage.decay else 1.0)


class Optimizers:
    """Muon for the matrices inside transformer layers, AdamW for all the rest.

    With AdamW alone, lookups and shapes need several times as many steps to emerge.
    """

    def __init__(self, module: nn.Module) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        inner = [p for name, p in named if p.ndim == 2 and "layers." in name]
        outer = [p for name, p in named if p.ndim != 2 or "layers." not in name]
        self.parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(outer, betas=(0.9, 0.98), weight_decay=0.0)
        ]
        if inner:
            self.parts.append(
                torch.optim.Muon(
                    inner, momentum=0.95, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
                )
            )

    def step(self, lr: float) -> None:
        """Update all weights at this rate and forget their gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()
            part.zero_grad(set_to_none=True)


def run(
    stage: Stage,
    module: nn.Module,
    loss_of: StepLoss,
    checkpoint: Path,
    on_save: Callable[[int], None] | None = None,
) -> None:
    """Train ``module`` through one stage, or load it where the stage has been done before.

    Every step draws its data from its own seed, so that a resumed run sees what an
    uninterrupted one would have seen.
    """
    optimizers = Optimizers(module)
    step = _resume(checkpoint, module, optimizers)
    rank = distributed.get_rank() if distributed.is_initialized() else 0
    seed = stage.draws + (f"/{rank}" if distributed.is_initialized() else "")
    tally, began = Tally.empty(), time.monotonic()
    while step < stage.steps:
        loss = loss_of(step, random.Random(f"{seed}/{step}"), tally)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(module)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizers.step(rate(stage, step))
        step += 1
        if rank == 0 and step % LOG_EVERY == 0:
            print(
                f"{time.strftime('%H:%M:%S')} {stage.name} {step}/{stage.steps} "
                f"loss={loss.item():.4f} s={time.monotonic() - began:.0f} {tally.text()}",
                flush=True,
            )
            tally = Tally.empty()
        if rank == 0 and (step % SAVE_EVERY == 0 or step == stage.steps):
            _save(checkpoint, module, optimizers, step)
            if on_save is not None:
                on_save(step)


def average_gradients(module: nn.Module) -> None:
    """Make the gradients of all workers equal to their mean, where there are several."""
    if not distributed.is_initialized():
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    means = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def _resume(path: Path, module: nn.Module, optimizers: Optimizers) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    for part, saved in zip(optimizers.parts, state["optimizers"], strict=True):
        part.load_state_dict(saved)
    return int(state["step"])


def _save(path: Path, module: nn.Module, optimizers: Optimizers, step: int) -> None:
    partial = path.with_suffix(".part")
    torch.save(
        {
            "module": module.state_dict(),
            "step": step,
            "optimizers": [part.state_dict() for part in optimizers.parts],
        },
        partial,
    )
    partial.replace(path)
