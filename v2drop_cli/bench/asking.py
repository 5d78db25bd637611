"""Questions through every arm: a batch at a time, the arms in turn, so that drift hits all alike.

A row that cannot be asked, because a file is missing or memory runs out, is broken for all arms
and stops nothing.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from v2drop_cli.bench.answering import Answered, answer
from v2drop_cli.bench.fidelity import Along
from v2drop_cli.bench.prompt_arms import PromptArms
from v2drop_cli.bench.ragged import batch, kind
from v2drop_cli.errors import V2DropError
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.models.load_errors import first_line, processing
from v2drop_cli.records import DENSE
from v2drop_cli.records.journal import ArmAnswer, RowResult
from v2drop_cli.tasks.rows import Row
from v2drop_cli.tasks.scores.known import Metric


@dataclass(frozen=True, slots=True)
class How:
    """How rows are asked.

    Attributes:
        metric: how answers are scored; ``None`` where they are not.
        max_new_tokens: of the longest answer.
        frames: of a video, at most.
        seed: of the order of the arms.
        fidelity: whether each arm is also led along dense's answer.
    """

    metric: Metric | None
    max_new_tokens: int
    frames: int
    seed: int = 0
    fidelity: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    row: Row
    inputs: Inputs

    @property
    def n_vision(self) -> int:
        return self.inputs.vision.counts[0]


class Asker:
    """Asks one model."""

    def __init__(self, loaded: LoadedModel, arms: PromptArms, how: How) -> None:
        self.loaded, self._arms, self._how = loaded, arms, how
        self._clock = clock_for(loaded.device)

    def ask(self, rows: Sequence[Row]) -> list[RowResult]:
        """What all arms say to ``rows``, in their order; rows that go together are one batch."""
        found: dict[int, RowResult] = {}
        together: dict[Hashable, list[_Prepared]] = {}
        for row in rows:
            try:
                ready = self._prepared(row)
            except Exception as error:  # whatever a file or a processor comes up with
                found[row.number] = broken(row, error)
                continue
            together.setdefault((kind(self.loaded, ready.inputs), ready.n_vision), []).append(ready)
        for unit in together.values():
            found |= {result.row: result for result in self._answered(unit)}
        return [found[row.number] for row in rows]

    def _prepared(self, row: Row) -> _Prepared:
        media = row.show(self._how.frames)
        with processing(self.loaded.source):
            return _Prepared(row, self.loaded.prepare(media, row.prompt))

    def _answered(self, unit: Sequence[_Prepared]) -> Iterator[RowResult]:
        """A batch; one that fails is taken apart, so that one row does not spoil the others."""
        try:
            results = self._together(unit)
        except Exception as error:
            if self.loaded.parts > 1 and not isinstance(error, V2DropError):
                raise  # other processes may be waiting for this one in the middle of a layer
            let_go()
            if len(unit) == 1:
                yield broken(unit[0].row, error)
                return
            for one in unit:
                yield from self._answered([one])
            return
        yield from results

    def _together(self, unit: Sequence[_Prepared]) -> list[RowResult]:
        inputs = batch(self.loaded, [one.inputs for one in unit])
        arms = list(self._arms.of(unit[0].n_vision))
        random.Random(f"{self._how.seed} {unit[0].row.number}").shuffle(arms)
        said = {
            arm.label: answer(self.loaded, inputs, arm, self._clock, self._how.max_new_tokens)
            for arm in arms
        }
        results = []
        for place, one in enumerate(unit):
            answers = {label: self._scored(one.row, said[label][place]) for label in said}
            if self._how.fidelity:
                answers = self._along(one, answers)
            right = one.row.answers[0] if one.row.answers else None
            ordered = {label: answers[label] for label in self._arms.labels}
            results.append(RowResult(one.row.number, one.row.group, right, ordered))
        return results

    def _scored(self, row: Row, said: Answered) -> ArmAnswer:
        text = self.loaded.decode(said.tokens)
        metric = self._how.metric
        return ArmAnswer(
            text=text,
            tokens=said.tokens,
            score=None if metric is None else metric.score(text, row),
            vision_tokens=said.vision_tokens,
            layer_average=said.layer_average,
            prefill_s=said.prefill_s,
            decode_s_per_token=said.decode_s_per_token,
        )

    def _along(self, one: _Prepared, answers: dict[str, ArmAnswer]) -> dict[str, ArmAnswer]:
        """The answers with how far each arm keeps to dense's own."""
        along = Along(self.loaded, one.inputs, answers[DENSE].tokens)
        found = {}
        for arm in self._arms.of(one.n_vision):
            kept = along.led(arm)
            found[arm.label] = replace(
                answers[arm.label],
                kl=kept.kl,
                agreement=kept.agreement,
                first_divergence=kept.first_divergence,
            )
        return found


def broken(row: Row, error: Exception) -> RowResult:
    """A row that could not be asked, and why."""
    known = getattr(error, "message", None)
    reason = known or f"{type(error).__name__}: {first_line(error)}"
    return RowResult(row.number, row.group, None, broken=" ".join(str(reason).split())[:300])


def let_go() -> None:
    """Give a GPU's memory back after a batch that took too much."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
