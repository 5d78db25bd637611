"""Questions that are asked again and again: prepared once, dense's answers kept.

What an arm is worth is either how far it keeps to dense along dense's own answers (one forward a
token, nothing is generated), or the score of its own answers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from v2drop_cli.bench.answering import END, STEP, Answered, answer, plans, times_of
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.asking import How, broken
from v2drop_cli.bench.fidelity import compared, logs_along
from v2drop_cli.bench.ragged import batch, kind
from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.instrument.hooks import Before, hooked
from v2drop_cli.measure.clock import clock_for
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.models.library_talk import listening
from v2drop_cli.models.load_errors import processing
from v2drop_cli.records import DENSE
from v2drop_cli.records.evaluation import BrokenRow
from v2drop_cli.tasks.rows import Row
from v2drop_cli.units import Seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """What one arm made of one row.

    Attributes:
        row: its place in the data.
        text: tokens of the prompt that stand for no pixels.
        vision: those that do.
        held: of them, how many each layer of the decoder processed.
        prefill_s: a row's share of its batch.
        kl, agreement: along dense's answer, see :class:`~v2drop_cli.bench.fidelity.Kept`; ``None``
            where the arm gave its own.
        score: of its own answer; ``None`` where it was led along dense's.
    """

    row: int
    text: int
    vision: int
    held: tuple[int, ...]
    prefill_s: Seconds
    kl: float | None = None
    agreement: float | None = None
    score: float | None = None

    @property
    def share(self) -> float:
        """Layer average, of the prompt's vision tokens."""
        return sum(self.held) / len(self.held) / self.vision


@dataclass(frozen=True, slots=True)
class _Batch:
    """Prompts that are answered together, and dense's answers: ``[B, a]``, of ``lengths``.

    ``logs`` are dense's log-probabilities, ``[B, a, V]``, on the host.
    """

    rows: tuple[Row, ...]
    inputs: Inputs
    answers: Tensor
    lengths: tuple[int, ...]
    logs: Tensor = field(repr=False)


_Asking = Callable[[_Batch, Arm], Iterator[Asked]]


class Questions:
    """Some rows of the data, on one model.

    Args:
        loaded: the model.
        how: frames, the longest answer, the metric, the seed.
        batch_size: rows that are answered at once.

    Attributes:
        dense: what dense answered, with its scores.
        broken: rows that could not be asked.
    """

    def __init__(self, loaded: LoadedModel, how: How, batch_size: int) -> None:
        self._loaded, self._how, self._size = loaded, how, batch_size
        self._clock = clock_for(loaded.device)
        self._batches: list[_Batch] = []
        self.dense: list[Asked] = []
        self.broken: list[BrokenRow] = []

    @property
    def count(self) -> int:
        """Rows that can be asked."""
        return sum(len(one.rows) for one in self._batches)

    def take(self, rows: Iterable[Row], watch: Watch) -> None:
        """Prepare ``rows``, and have dense answer them.

        Rows that go together are one batch, wherever they stand in the data.
        """
        together: dict[Hashable, list[tuple[Row, Inputs]]] = {}
        for done, row in enumerate(rows):
            watch.check()
            watch.on_progress(Progress(Phase.DENSE, done))
            try:
                with processing(self._loaded.source):
                    inputs = self._loaded.prepare(row.show(self._how.frames), row.prompt)
            except Exception as error:  # whatever a file or a processor comes up with
                watch.check()
                self.broken.append(BrokenRow(row.number, str(broken(row, error).broken)))
                continue
            alike = (kind(self._loaded, inputs), inputs.vision.counts[0])
            waiting = together.setdefault(alike, [])
            waiting.append((row, inputs))
            if len(waiting) == self._size:
                self._batches.append(self._answered(together.pop(alike)))
        for waiting in together.values():
            watch.check()
            self._batches.append(self._answered(waiting))

    def _answered(self, unit: Sequence[tuple[Row, Inputs]]) -> _Batch:
        inputs = batch(self._loaded, [one for _, one in unit])
        dense = Arm(DENSE)
        rows = tuple(row for row, _ in unit)
        said = answer(self._loaded, inputs, dense, self._clock, self._how.max_new_tokens)
        self.dense.extend(self._scored(rows, inputs, said))
        lengths = tuple(len(one.tokens) for one in said)
        padded = [one.tokens + one.tokens[-1:] * (max(lengths) - len(one.tokens)) for one in said]
        answers = torch.tensor(padded, device=self._loaded.device)
        with listening():
            logs, _ = logs_along(self._loaded, inputs, answers, dense)
        return _Batch(rows, inputs, answers, lengths, logs.cpu())

    def along(self, arms: Sequence[Arm], watch: Watch) -> list[list[Asked]]:
        """Each arm along dense's answers, row by row in the order of the data; arms take turns."""
        return self._each(arms, watch, self._led)

    def scored(self, arms: Sequence[Arm], watch: Watch) -> list[list[Asked]]:
        """The scores of the arms' own answers, likewise."""
        return self._each(arms, watch, self._said)

    def _each(self, arms: Sequence[Arm], watch: Watch, one: _Asking) -> list[list[Asked]]:
        found: list[list[Asked]] = [[] for _ in arms]
        for number, unit in enumerate(self._batches):
            order = list(range(len(arms)))
            random.Random(f"{self._how.seed} {number}").shuffle(order)
            for place in order:
                watch.check()
                found[place].extend(one(unit, arms[place]))
        return [sorted(rows, key=lambda asked: asked.row) for rows in found]

    def _led(self, unit: _Batch, arm: Arm) -> Iterator[Asked]:
        loaded, clock = self._loaded, self._clock
        decoder = Before(loaded.family.decoder(loaded.model), lambda *_: clock.mark(STEP))
        with listening(), torch.no_grad(), hooked(decoder):
            clock.start()
            logs, trace = logs_along(loaded, unit.inputs, unit.answers, arm)
            clock.mark(END)
            marks = clock.finish()
        prefill_s, _ = times_of(marks, len(unit.rows))
        held = [plan.counts for plan in plans(loaded, unit.inputs, trace.events)]
        dense = unit.logs.to(logs.device)
        for place, row in enumerate(unit.rows):
            length = unit.lengths[place]
            kept = compared(dense[place, :length], logs[place, :length])
            text, vision = _tokens(unit.inputs, place)
            yield Asked(row.number, text, vision, held[place], prefill_s, kept.kl, kept.agreement)

    def _said(self, unit: _Batch, arm: Arm) -> Iterator[Asked]:
        said = answer(self._loaded, unit.inputs, arm, self._clock, self._how.max_new_tokens)
        yield from self._scored(unit.rows, unit.inputs, said)

    def _scored(
        self, rows: Sequence[Row], inputs: Inputs, said: Sequence[Answered]
    ) -> Iterator[Asked]:
        metric = self._how.metric
        for place, (row, one) in enumerate(zip(rows, said, strict=True)):
            text, vision = _tokens(inputs, place)
            score = None if metric is None else metric.score(self._loaded.decode(one.tokens), row)
            yield Asked(row.number, text, vision, one.held, one.prefill_s, score=score)


def _tokens(inputs: Inputs, place: int) -> tuple[int, int]:
    """Text and vision tokens of one row's prompt."""
    mask = inputs.tensors.get("attention_mask")
    whole = inputs.tensors["input_ids"].shape[1] if mask is None else mask[place].sum()
    vision = inputs.vision.counts[place]
    return int(whole) - vision, vision
