"""Many ways of dropping from one dense pass: the embedded model's answers, variant by variant.

All questions about a picture stand in one sequence, see :mod:`benchmarks.tiny.packing`. The dense
pass is made once. Each schedule goes on from the state at its first drop, with all variants in one
batch. A question counts as right where every token of its answer, the end mark included, is the
most likely one after those before it: that is when greedy generation gives the answer. A test
holds this against ``v2drop_cli.dropping`` and ``generate``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from benchmarks.tiny.model import WIDTH
from benchmarks.tiny.packing import ATTENTION, NO_TARGET, Packed, Packer, text_mask
from benchmarks.tiny.tokenizer import build_tokenizer
from benchmarks.tiny.variants import Look, Variant
from benchmarks.tiny.vision import to_pixels
from v2drop_cli.schedule import Schedule
from v2drop_cli.tasks.drawn.questions import Question


@dataclass(frozen=True)
class Asked:
    """The questions about one picture or clip, ready for the decoder.

    Attributes:
        states: ``[1, T, D]`` what enters the decoder: prefix, vision tokens, questions.
        positions: ``[1, T]`` long.
        packed: the questions' ids, answers and numbers.
        start: the column of the first vision token.
        shown: ``[n]`` bool, whether a vision token's patch shows a shape.
        seed: for variants that draw at random.
    """

    states: Tensor
    positions: Tensor
    packed: Packed
    start: int
    shown: Tensor
    seed: int

    @property
    def vision(self) -> int:
        """How many vision tokens there are."""
        return len(self.shown)


@dataclass(frozen=True)
class Branch:
    """All variants of a schedule before some layer, one a row.

    Attributes:
        states: ``[A, W, D]`` what enters the layer.
        before: the same for the layer before; ``None`` before the first.
        columns: ``[A, W]`` long, which columns of the whole sequence are left.
        alive: how many vision tokens are left.
    """

    states: Tensor
    before: Tensor | None
    columns: Tensor
    alive: int


class Branching:
    """The embedded model, taken layer by layer."""

    def __init__(self, llava: LlavaForConditionalGeneration, packer: Packer) -> None:
        self._llava = llava
        self._packer = packer
        self._language: Any = llava.model.language_model
        self._language.set_attn_implementation(ATTENTION)
        self._layers: Any = self._language.layers

    @torch.inference_mode()
    def ask(
        self, pictures: list[Image.Image], questions: list[Question], shown: Tensor, seed: int
    ) -> Asked:
        """Look at the pictures and put all questions behind them."""
        seen = self._llava.get_image_features(to_pixels(pictures)).pooler_output
        vision = torch.stack(list(seen)).reshape(1, -1, WIDTH)
        patches = vision.shape[1]
        packed = self._packer.pack([questions], patches, random.Random(0), unmarked=0.0)
        words, prefix = self._language.embed_tokens, self._packer.prefix
        states = torch.cat([words(prefix)[None], vision, words(packed.ids)], dim=1)
        before = torch.arange(len(prefix) + patches)[None]
        positions = torch.cat([before, packed.positions], dim=1)
        return Asked(states, positions, packed, len(prefix), shown, seed)

    @torch.inference_mode()
    def dense(self, asked: Asked) -> list[Tensor]:
        """``[1, T, D]`` what enters each layer, and at last what leaves the last one."""
        columns = torch.arange(asked.states.shape[1])[None]
        states = [asked.states]
        for layer in range(len(self._layers)):
            branch = Branch(states[-1], None, columns, asked.vision)
            states.append(self._through(layer, branch, asked))
        return states

    @torch.inference_mode()
    def right(
        self, asked: Asked, dense: list[Tensor], schedule: Schedule, variants: Sequence[Variant]
    ) -> list[list[bool]]:
        """Which questions each variant answers rightly under this schedule."""
        drops = {drop.layer: drop for drop in schedule.drops}
        first, rows = min(drops), len(variants)
        branch = Branch(
            dense[first].expand(rows, -1, -1),
            dense[first - 1].expand(rows, -1, -1) if first else None,
            torch.arange(asked.states.shape[1]).expand(rows, -1),
            asked.vision,
        )
        for layer in range(first, len(self._layers)):
            if layer in drops:
                keep = drops[layer].kept(branch.alive)
                branch = self._dropped(layer, branch, asked, keep, variants)
            states = self._through(layer, branch, asked)
            branch = Branch(states, branch.states, branch.columns, branch.alive)
        return self.judged(asked, branch.states)

    @torch.inference_mode()
    def judged(self, asked: Asked, states: Tensor) -> list[list[bool]]:
        """Which questions are answered rightly, from what leaves the last layer, row by row."""
        packed = asked.packed
        text = self._language.norm(states[:, -packed.ids.shape[1] :])
        aimed = packed.targets[0] != NO_TARGET
        logits = functional.linear(text[:, aimed], self._language.embed_tokens.weight)
        missed = logits.argmax(-1) != packed.targets[0, aimed]
        numbers = packed.numbers[0, aimed]
        asked_of = range(1, len(packed.types[0]) + 1)
        return [[not bool(row[numbers == n].any()) for n in asked_of] for row in missed]

    def _through(self, layer: int, branch: Branch, asked: Asked) -> Tensor:
        """``[A, W, D]`` what leaves a layer."""
        cos, sin = self._language.rotary_emb(asked.states, position_ids=asked.positions)
        leaving: Tensor = self._layers[layer](
            branch.states,
            attention_mask=text_mask(asked.packed.numbers, asked.start + branch.alive),
            position_embeddings=(cos[0][branch.columns], sin[0][branch.columns]),
        )
        return leaving

    def _dropped(
        self, layer: int, branch: Branch, asked: Asked, keep: int, variants: Sequence[Variant]
    ) -> Branch:
        """The branch with ``keep`` vision tokens left, chosen by each variant for its own row."""
        if keep >= branch.alive:
            return branch
        vision = slice(asked.start, asked.start + branch.alive)
        states, columns = [], []
        for row, variant in enumerate(variants):
            entering, places = branch.states[row, vision], branch.columns[row, vision]
            index, merged = torch.zeros(0, dtype=torch.long), None
            if keep:
                index, merged = variant(self._look(layer, branch, row, asked), keep)
            left = entering[index] if merged is None else merged
            states.append(_around(branch.states[row], vision, left))
            columns.append(_around(branch.columns[row], vision, places[index]))
        return Branch(torch.stack(states), None, torch.stack(columns), keep)

    def _look(self, layer: int, branch: Branch, row: int, asked: Asked) -> Look:
        vision = slice(asked.start, asked.start + branch.alive)
        columns = branch.columns[row, vision]
        return Look(
            layer=layer,
            hidden=branch.states[row, vision],
            previous=None if branch.before is None else branch.before[row, vision],
            first=asked.states[0, columns],
            places=columns - asked.start,
            shown=asked.shown[columns - asked.start],
            block=self._layers[layer - 1] if layer else None,
            seed=asked.seed,
        )


@cache
def branching(folder: Path) -> Branching:
    """The model of this process, from an exported checkpoint."""
    llava = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return Branching(llava, Packer(build_tokenizer()))


def _around(whole: Tensor, part: slice, new: Tensor) -> Tensor:
    """``whole`` with ``part`` of its rows replaced."""
    return torch.cat([whole[: part.start], new, whole[part.stop :]])
