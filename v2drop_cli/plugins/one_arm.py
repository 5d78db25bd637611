"""One model, run one way: answers to prompts, and how likely it finds an answer.

What :mod:`v2drop_cli.bench` does for many arms at once, so an answer here is the one that
``v2drop eval`` gets with the same options.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from v2drop_cli.bench.answering import Answered, answer
from v2drop_cli.bench.arms import Arm, ArmOptions
from v2drop_cli.bench.asking import let_go
from v2drop_cli.bench.budgets import takes_trying
from v2drop_cli.bench.fidelity import logs_along
from v2drop_cli.bench.ragged import batch, kind
from v2drop_cli.errors import UsageError
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.media import Media
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.models.load_errors import processing
from v2drop_cli.records import DENSE


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt.

    Attributes:
        media: what is shown; nothing, for a question of words alone.
        text: what is asked.
        max_new_tokens: of the longest answer.
    """

    media: Sequence[Media]
    text: str
    max_new_tokens: int = 1


@dataclass(slots=True)
class Told:
    """What was dropped so far: sums over prompts with pictures."""

    prompts: int = 0
    vision_tokens: int = 0
    layer_average: float = 0.0

    def add(self, answers: Sequence[Answered]) -> None:
        """Count the prompts of a batch."""
        for said in answers:
            if said.vision_tokens:
                self.prompts += 1
                self.vision_tokens += said.vision_tokens
                self.layer_average += said.layer_average

    def __str__(self) -> str:
        n = max(1, self.prompts)
        return (
            f"{self.prompts} prompts with pictures: {self.vision_tokens / n:.1f} vision tokens, "
            f"{self.layer_average / n:.1f} in a layer on average"
        )


@dataclass(slots=True)
class OneArm:
    """A loaded model with one way of dropping.

    Attributes:
        loaded: the model.
        options: one method, one schedule; ``None`` for dense.
        told: what was dropped so far.
    """

    loaded: LoadedModel
    options: ArmOptions | None
    told: Told = field(default_factory=Told)
    _arms: dict[int, Arm] = field(default_factory=dict)

    def arm(self, n_vision: int) -> Arm:
        """How a prompt of so many vision tokens is answered; one without any has none to drop.

        Raises:
            ScheduleError: the schedule does not fit such a prompt.
            UsageError: prefills would have to find what meets the budget.
        """
        if self.options is None or n_vision == 0:
            return Arm(DENSE)
        if n_vision not in self._arms:
            method = get_method(self.options.methods[0])
            [arm] = self.options.of(method, self.loaded, n_vision)
            if takes_trying(arm):
                raise UsageError(
                    f"what meets a budget with {method.name} is found on the first prompt, and "
                    "which one that is depends on lmms-eval's cache and processes",
                    hint="give its schedule or thresholds: v2drop run --budget finds them",
                )
            self._arms[n_vision] = arm
        return self._arms[n_vision]

    def answers(self, questions: Sequence[Question]) -> list[str]:
        """The answers, in order. Prompts that can be rows of one batch are one.

        Raises:
            V2DropError: a prompt cannot be served.
            RuntimeError: one alone took too much memory, or what else went wrong.
        """
        found: dict[int, str] = {}
        together: dict[tuple[Hashable, int, int], list[tuple[int, Inputs]]] = {}
        for place, asked in enumerate(questions):
            inputs = self._prepared(asked)
            alike = (kind(self.loaded, inputs), _count(inputs), asked.max_new_tokens)
            together.setdefault(alike, []).append((place, inputs))
        for (_, _, longest), unit in together.items():
            found |= self._said(unit, longest)
        return [found[place] for place in range(len(questions))]

    def loss(self, asked: Question, continuation: str) -> tuple[float, bool]:
        """How unlikely the model finds an answer, and whether it is the greedy one.

        The mean over the answer's tokens of ``-log p``, the prompt being prefilled with dropping
        and the answer given behind it, not chosen. Blanks before the
        answer are no part of it: where an answer begins is for the prompt's template to say.

        Raises:
            UsageError: the answer has no words.
        """
        inputs = self._prepared(asked)
        tokenizer: Any = self.loaded.processor.tokenizer
        ids = tokenizer(continuation.strip(), add_special_tokens=False)["input_ids"]
        if not ids:
            raise UsageError("an answer to be judged has no words", hint="look at the task's data")
        wanted = torch.tensor(ids, device=self.loaded.device)
        [logs], _ = logs_along(self.loaded, inputs, wanted[None], self.arm(_count(inputs)))
        likely = logs.gather(1, wanted[:, None])
        return float(-likely.mean()), bool((logs.argmax(dim=-1) == wanted).all())

    def _prepared(self, asked: Question) -> Inputs:
        if self.options is not None and asked.media:
            self.options.check_media(frozenset(item.kind for item in asked.media))
        with processing(self.loaded.source):
            return self.loaded.prepare(asked.media, asked.text)

    def _said(self, unit: Sequence[tuple[int, Inputs]], longest: int) -> dict[int, str]:
        """The answers of a batch; one that fails, for memory say, is asked again one by one."""
        clock = clock_for(self.loaded.device)
        inputs = batch(self.loaded, [one for _, one in unit])
        try:
            said = answer(self.loaded, inputs, self.arm(_count(unit[0][1])), clock, longest)
        except RuntimeError:
            let_go()
            if len(unit) == 1:
                raise
            return {k: text for one in unit for k, text in self._said([one], longest).items()}
        self.told.add(said)
        return {
            place: self.loaded.decode(answered.tokens)
            for (place, _), answered in zip(unit, said, strict=True)
        }


def _count(inputs: Inputs) -> int:
    return inputs.vision.counts[0] if inputs.vision.counts else 0
