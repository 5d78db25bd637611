"""What a tiny model gives in float32 and eager attention, dense and masked: a proof's truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.prove.cases.case import Case
from v2drop_cli.prove.oracle import Dropped, count, decode, evenly, masked, scores, states

STEPS = 8  # decoded after the prefill
FACTOR = 3.0  # how much more than dense may be lost
# Scores closer than this share of the largest are a tie: another order of additions may decide it.
_TIE = 1e-5

Kept = Mapping[int, Sequence[Sequence[int]]]  # drop layer → per row, the columns that stayed


@dataclass(frozen=True, slots=True)
class Reference:
    """One batch of prompts, and what the dense model makes of it.

    Attributes:
        case: the tiny model's family.
        model: in float32 and eager attention.
        inputs: the batch.
        vision: per row, the columns of the vision tokens, as the prompt was written.
        dense: logits of the prefill and of each decode step.
        tokens: what was decoded; fed to everything that is compared with it.
        placed: whether models are told positions; if not, they count by their cache's length.
    """

    case: Case
    model: Any
    inputs: dict[str, Tensor]
    vision: list[list[int]]
    dense: list[Tensor]
    tokens: list[Tensor]
    placed: bool = True

    @classmethod
    def of(
        cls, case: Case, model: Any, device: torch.device, shape: str, placed: bool = True
    ) -> Reference:
        """Run ``model``, which is on ``device``, on the batch that the case calls ``shape``."""
        inputs, vision = case.batch(case.prompts(shape))
        inputs = {name: _on(device, value) for name, value in inputs.items()}
        dense, tokens = decode(model, inputs, STEPS, placed=placed)
        return cls(case, model, inputs, vision, dense, tokens, placed)

    def decode(self, model: Any) -> list[Tensor]:
        """All logits that ``model``, in whatever dtype, gives under the tokens of dense."""
        return decode(model, self.cast(model.dtype), STEPS, self.tokens, self.placed)[0]

    def cast(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The batch for a model of ``dtype``: only pixels meet weights."""
        return {
            name: tensor.to(dtype) if "pixel_values" in name else tensor
            for name, tensor in self.inputs.items()
        }

    def gone(self, kept: Kept) -> dict[int, list[set[int]]]:
        """Per drop layer and row, the columns that ``kept`` leaves out of those still alive."""
        alive: Sequence[Sequence[int]] = self.vision
        found = {}
        for layer, rows in kept.items():
            found[layer] = [set(a) - set(k) for a, k in zip(alive, rows, strict=True)]
            alive = rows
        return found

    def masked(self, gone: Dropped) -> list[Tensor]:
        """All logits with ``gone`` masked from their layers on, under the tokens of dense."""
        padding = torch.nn.functional.pad(self.inputs["attention_mask"], (0, STEPS), value=1)
        with masked(self.case.layers(self.model), padding, gone):
            return self.decode(self.model)

    def survivors(self, gone: Dropped) -> Tensor:
        """``[B, Q]`` bool: the columns of the prompt whose output means something to the end."""
        found = self.inputs["attention_mask"].bool().clone()
        for rows in gone.values():
            for b, columns in enumerate(rows):
                found[b, list(columns)] = False
        return found

    def misjudged(self, twin: Any, kept: Kept) -> str | None:
        """Why ``kept`` is not what the definition keeps, or ``None`` if it is.

        Every drop is judged by scores in float32, computed in plain Python with the tokens masked
        that the drops before it removed. A number format may order tokens differently if their
        scores are closer than the scores of ``twin``, the same model in that format, are wrong.
        """
        alive: Sequence[Sequence[int]] = self.vision
        gone: dict[int, list[set[int]]] = {}
        everything = self.gone(kept)
        if unknown := set(kept) - {layer for layer, _ in self.case.drops}:
            return f"dropped at layers {sorted(unknown)}, which the schedule does not name"
        for layer, keep in self.case.drops:
            exact, slack = self._scores(twin, gone, layer, alive)
            stays = kept.get(layer, alive)
            for tokens, row, score in zip(alive, stays, exact, strict=True):
                wrong = _wrong(set(tokens), set(row), score, count(len(tokens), keep), slack)
                if wrong is not None:
                    return f"layer {layer} {wrong}"
            gone, alive = {**gone, layer: everything.get(layer, [])}, stays
        return None

    def uneven(self, kept: Kept) -> str | None:
        """Why ``kept`` is not the even choice of the case's entry drops, or ``None`` if it is."""
        alive: Sequence[Sequence[int]] = self.vision
        for layer, keep in self.case.entry or ():
            alive = [evenly(row, count(len(row), keep)) for row in alive]
            if [list(row) for row in kept.get(layer, ())] != alive:
                return f"layer {layer} kept other tokens than the evenly spaced ones"
        return None

    def _scores(
        self, twin: Any, gone: Dropped, layer: int, alive: Sequence[Sequence[int]]
    ) -> tuple[list[dict[int, float]], float]:
        layers = self.case.layers
        exact = scores(states(layers(self.model), self.model, self.inputs, gone), layer, alive)
        ours = exact
        if twin is not self.model:
            ours = scores(states(layers(twin), twin, self.cast(twin.dtype), gone), layer, alive)
        pairs = [(a[i], b[i]) for a, b in zip(exact, ours, strict=True) for i in a]
        lost = max((abs(a - b) for a, b in pairs), default=0.0)
        largest = max((a for a, _ in pairs), default=0.0)
        return exact, 2 * FACTOR * lost + _TIE * largest


def _on(device: torch.device, value: Any) -> Any:
    """A tensor on ``device``; a plain list as it is."""
    return value.to(device) if isinstance(value, Tensor) else value


def _wrong(
    alive: set[int], kept: set[int], score: Mapping[int, float], asked: int, slack: float
) -> str | None:
    if len(kept) != asked or not kept <= alive:
        inside = len(kept & alive)
        return f"kept {inside} of {len(alive)} tokens of a row, and {asked} were to stay"
    left = alive - kept
    if kept and left and min(score[i] for i in kept) < max(score[i] for i in left) - slack:
        return "kept a token that moved less than one it dropped"
    return None


@dataclass(frozen=True, slots=True)
class Loss:
    """How far logits are from those wanted, as shares of the standard deviation of the latter.

    Attributes:
        largest: the largest difference. One number that is off shows in it.
        typical: root mean square. A fault that moves everything a little shows in it, however
            much a number format loses in its worst place.
    """

    largest: float
    typical: float

    @classmethod
    def of(cls, got: Sequence[Tensor], wanted: Sequence[Tensor], where: Tensor) -> Loss:
        """Of the prompt's logits at ``where``, ``[B, Q]`` bool, and of all later ones."""
        ours, theirs = (
            torch.cat([logits[0][where], *(step[:, 0] for step in logits[1:])]).float()
            for logits in (got, wanted)
        )
        off = (ours - theirs) / theirs.std()
        return cls(float(off.abs().max()), float(off.square().mean().sqrt()))

    def allowed(self, floor: float) -> Loss:
        """What may be lost where dense loses this much."""
        return Loss(max(FACTOR * self.largest, floor), max(FACTOR * self.typical, floor / 10))


@contextmanager
def undisturbed() -> Iterator[None]:
    """No TF32, which would hide a small fault, and one thread, as befits tiny models."""
    matmul, conv = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    threads = torch.get_num_threads()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = conv
        torch.set_num_threads(threads)
