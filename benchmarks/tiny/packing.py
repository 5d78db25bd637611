"""Several questions about one picture in one sequence, so that the picture is read once.

A packed sequence is: prefix, vision tokens, then the questions one after the other. Every
question sees the prefix, the vision tokens and itself, at the positions it would have alone,
so the model computes exactly what it computes for a single prompt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedTokenizerFast

from benchmarks.tiny.loop import Tally
from v2drop_cli.tasks.drawn.questions import Question

NO_TARGET = -100
ATTENTION = "packed"
_UNMARKED = 0.25


@dataclass(frozen=True)
class Packed:
    """The text of a batch, and the question types in each row.

    ``numbers`` counts a row's questions from 1 (0 is padding); ``targets`` holds the next
    token where it belongs to an answer.
    """

    ids: Tensor
    positions: Tensor
    numbers: Tensor
    targets: Tensor
    types: list[list[str]]

    def to(self, device: torch.device) -> Packed:
        """Move all tensors to a device."""
        return Packed(
            self.ids.to(device),
            self.positions.to(device),
            self.numbers.to(device),
            self.targets.to(device),
            self.types,
        )


class Packer:
    """Turns questions into packed text."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.prefix = torch.tensor(tokenizer.encode("USER: "))
        self._known: dict[str, list[int]] = {}

    def _encode(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]

    def pack(
        self,
        batch: list[list[Question]],
        patches: int,
        rng: random.Random,
        unmarked: float = _UNMARKED,
    ) -> Packed:
        """Pack each list; this share of prompts loses its closing mark, as people leave it out."""
        start = len(self.prefix) + patches
        rows = [
            self._row([(question, rng.random() < unmarked) for question in questions], start)
            for questions in batch
        ]
        width = max(len(row[0]) for row in rows)
        fills = (self._tokenizer.pad_token_id, start, 0, NO_TARGET)
        ids, positions, numbers, targets = (
            torch.tensor([row[part] + [fill] * (width - len(row[part])) for row in rows])
            for part, fill in enumerate(fills)
        )
        types = [[question.type for question in questions] for questions in batch]
        return Packed(ids, positions, numbers, targets, types)

    def _row(
        self, questions: list[tuple[Question, bool]], start: int
    ) -> tuple[list[int], list[int], list[int], list[int]]:
        """A row's ids, positions, numbers and targets; each question says if it is unmarked."""
        ids: list[int] = []
        positions: list[int] = []
        numbers: list[int] = []
        targets: list[int] = []
        for number, (question, unmarked) in enumerate(questions, start=1):
            text = question.text.rstrip("?.") if unmarked else question.text
            asked = self._encode(f"\n{text} ASSISTANT:")
            answer = [*self._encode(f" {question.answer}"), self._tokenizer.eos_token_id]
            ids += asked + answer[:-1]
            targets += [NO_TARGET] * (len(asked) - 1) + answer
            length = len(asked) + len(answer) - 1
            positions += range(start, start + length)
            numbers += [number] * length
        return ids, positions, numbers, targets


def text_mask(numbers: Tensor, seen: int) -> Tensor:
    """Say what the text may look at, (batch, 1, text, all): all that is seen, and its past.

    Its past is the text before it within the same question.
    """
    same = numbers[:, :, None] == numbers[:, None, :]
    causal = torch.ones(same.shape[1:], dtype=torch.bool, device=numbers.device).tril()
    return functional.pad(same & causal, (seen, 0), value=True).unsqueeze(1)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend causally in the prefix and the picture, and by ``text_mask`` after them.

    In two parts because the picture is long: its half of a full mask would be computed for
    nothing, and that is most of a training step.
    """
    seen = key.shape[2] - attention_mask.shape[2]
    attend = functional.scaled_dot_product_attention
    first = attend(query[:, :, :seen], key[:, :, :seen], value[:, :, :seen], is_causal=True)
    then = attend(query[:, :, seen:], key, value, attn_mask=attention_mask)
    return torch.cat([first, then], dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, packed_attention)


def tally_answers(packed: Packed, guesses: Tensor, tally: Tally, media: str) -> None:
    """Count a question as right where every token of its answer is."""
    aimed = packed.targets != NO_TARGET
    wrong = torch.zeros_like(packed.targets, dtype=torch.bool)
    wrong[aimed] = guesses != packed.targets[aimed]
    for row, types in enumerate(packed.types):
        missed = set(packed.numbers[row][wrong[row]].tolist())
        for number, kind in enumerate(types, start=1):
            tally.add(f"{media}:{kind}", int(number not in missed), 1)
