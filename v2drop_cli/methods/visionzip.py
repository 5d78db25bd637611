"""VisionZip: dominant tokens, the rest merged (arXiv 2412.04467; code dvlab-research/VisionZip)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.errors import ScheduleError, UsageError
from v2drop_cli.methods.base import (
    CLASS_TOKEN,
    HIDDEN,
    RENUMBERED,
    TOWER,
    DropContext,
    Kept,
    refuse_nan,
)
from v2drop_cli.methods.before_decoder import BeforeDecoder, refuse_later
from v2drop_cli.methods.crops import evenly, with_separators
from v2drop_cli.methods.signal_protocols import TowerSignals
from v2drop_cli.schedule import Schedule
from v2drop_cli.tensors import top_k, true_columns


@dataclass(frozen=True, slots=True)
class Zipped:
    """What becomes of one picture, by places among its own tokens.

    Attributes:
        dominant: ``[d]`` long, tokens that stay as they are.
        targets: ``[c]`` long, tokens that take in others.
        others: ``[o]`` long, those others.
        goes: ``[o]`` long, the target that each of them goes to, by its place in ``targets``.
    """

    dominant: Tensor
    targets: Tensor
    others: Tensor
    goes: Tensor

    @classmethod
    def of(cls, scores: Tensor, keys: Tensor, dominant: int, contextual: int) -> Zipped:
        """The split of tokens with scores ``[m]`` and keys ``[m, d]``."""
        best = top_k(scores, dominant)
        rest = _without(len(scores), best)
        step = max(1, len(rest) // max(contextual, 1))
        places = torch.arange(0, len(rest), step, device=rest.device)[:contextual]
        targets, others = rest[places], rest[_without(len(rest), places)]
        if not contextual:
            return cls(best, targets, others[:0], others[:0])
        unit = keys / keys.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        return cls(best, targets, others, (unit[others] @ unit[targets].T).argmax(1))

    def merged(self, states: Tensor) -> Tensor:
        """``[c, D]`` each target's state plus the mean of those that go to it."""
        share = torch.nn.functional.one_hot(self.goes, len(self.targets)).to(states)
        means = share.T @ states[self.others] / share.sum(0).clamp(min=1)[:, None]
        return states[self.targets] + means


@dataclass(frozen=True)
class VisionZip(BeforeDecoder):
    """The tokens that the class token attends to most, then what becomes of all others.

    Dominant are those of largest attention of the class token in the tower's block -2, summed
    over heads. Of the m others, in sequence order, every ``max(1, m // c)``-th, c of them, is a
    target; each of the rest goes to the target of largest cosine of keys (block -2, averaged over
    heads). A target becomes itself PLUS the mean of those that went to it, before the projector,
    and is then projected. The decoder is given dominant ones in sequence order, then targets.

    Parameters: ``contextual`` is c, from 1 on as a number of the count's tokens, below 1 as a
    share of it, rounded down: 10/64 makes the published 54+10, 108+20 and 162+30. The authors
    count the class token among the dominant ones; models of transformers hand on patches only,
    so without it one patch more stays (our setting). ``cls=true`` gives the decoder the class
    token, first of all, in the place of a token that is dropped; that takes renumbered positions.

    Each picture of a row is pruned by itself, with an equal part of the count; the code rounds
    the part, here the first pictures get what is left over. Newline tokens of tiles are kept only
    where there are not enough patches. With original positions tokens stay in sequence order.

    Cost: the tower's pass is made already; one row of attention of one of its blocks, that
    block's keys, m·c cosines, and the projector for the targets.
    """

    name = "visionzip"
    paper = "arXiv 2412.04467"
    needs: ClassVar[frozenset[str]] = frozenset({TOWER, CLASS_TOKEN, HIDDEN})
    tower_layers = (-2, "projector")
    contextual: float = 10 / 64
    cls: bool = False

    def __post_init__(self) -> None:
        """Refuse what is neither a share nor a number, and a class token without a position."""
        whole = self.contextual == int(self.contextual)
        if self.contextual < 0 or (self.contextual >= 1 and not whole):
            raise UsageError(
                f"contextual={self.contextual:g} of visionzip is neither a number of tokens nor a "
                "share of them",
                hint="for example contextual=10, or contextual=0.15625",
            )
        if self.cls and self.positions != RENUMBERED:
            raise UsageError(
                "cls=true of visionzip has no place among original positions",
                hint="take positions=renumbered, as its authors do, or cls=false",
            )

    def select(self, ctx: DropContext) -> Kept:
        """Dominant tokens and targets of each picture.

        Raises:
            ScheduleError: the contextual tokens alone are more than those that stay.
        """
        block, given = ctx.signals.tower(-2), ctx.signals.tower("projector")
        scores, keys = block.class_attention().sum(0), block.keys().float().mean(0)
        refuse_nan(self, scores)
        pictures, made = block.by_crop(), _Made(ctx, given)
        counts = evenly(ctx.n_keep, [len(tokens) for tokens in pictures])
        parts = evenly(self._contextual(ctx.n_keep, counts), [max(0, n - self.cls) for n in counts])
        for i, tokens in enumerate(pictures):
            if counts[i]:
                dominant = counts[i] - parts[i] - self.cls
                found = Zipped.of(scores[tokens], keys[tokens], dominant, parts[i])
                made.add(found, tokens, i if self.cls else None)
        return made.kept(self.positions == RENUMBERED, pictures)

    def check(self, schedule: Schedule) -> None:
        """Refuse drops inside the decoder, and a count that the contextual tokens alone exceed.

        Raises:
            ScheduleError: there is one.
        """
        super().check(schedule)
        refuse_later(self, schedule, "it merges before the projector")
        if count := schedule.drops[0].count:
            self._contextual(count, [count])

    def _contextual(self, kept: int, counts: Sequence[int]) -> int:
        """How many of the ``kept`` tokens are targets, of pictures that keep so many each."""
        wanted = int(self.contextual if self.contextual >= 1 else self.contextual * kept)
        room = sum(counts) - self.cls * sum(count > 0 for count in counts)
        if wanted > room:
            beside = " beside its class tokens" if self.cls else ""
            raise ScheduleError(
                f"contextual={self.contextual:g} of visionzip makes {wanted} tokens, and the "
                f"schedule has room for {room}{beside}",
                hint=f"keep {wanted + sum(counts) - room} tokens or more, for example "
                f"--schedule 0:{max(64, 2 * wanted)}t, or give a smaller contextual",
            )
        return wanted


@dataclass(slots=True)
class _Made:
    """What a row keeps, put together picture by picture.

    Attributes:
        ctx: the row.
        given: what the projector was given.
        index: tokens that stay.
        sources: per token of the row, the entry of ``index`` that it goes into, or -1.
        places: the entries of ``index`` whose states are new.
        states: what is to be projected for them.
    """

    ctx: DropContext
    given: TowerSignals
    index: list[Tensor] = field(default_factory=list)
    sources: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    places: list[Tensor] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)

    def add(self, found: Zipped, tokens: Tensor, picture: int | None) -> None:
        """One picture's ``tokens``; ``picture`` if its class token stays too, and is first."""
        at = sum(len(index) for index in self.index)
        if picture is not None:
            # Some token's place is needed. One is left over: targets are fewer than the rest.
            spare = _without(len(tokens), torch.cat([found.dominant, found.targets]))[:1]
            self.index.append(tokens[spare])
            self.places.append(torch.arange(at, at + 1, device=tokens.device))
            self.states.append(self.given.class_hidden()[picture : picture + 1].float())
            at += 1
        self.index += [tokens[found.dominant], tokens[found.targets]]
        if len(found.targets):
            first = at + len(found.dominant)
            self.sources.append((tokens[found.others], found.goes + first))
            last = first + len(found.targets)
            self.places.append(torch.arange(first, last, device=tokens.device))
            self.states.append(found.merged(self.given.hidden()[tokens].float()))

    def kept(self, in_order: bool, pictures: Sequence[Tensor]) -> Kept:
        """The verdict; ``pictures`` are the tokens of all of them."""
        n = len(self.ctx.positions)
        index = with_separators(self.index, pictures, n, self.ctx.n_keep)
        if not self.states:
            return Kept(index, in_order=in_order)
        merged = self.ctx.signals.hidden()[index]
        projected = self.given.project(torch.cat(self.states)).to(merged)
        sources = torch.full_like(self.ctx.positions, -1)
        for tokens, into in self.sources:
            sources[tokens] = into
        return Kept(
            index, merged.index_copy(0, torch.cat(self.places), projected), sources, in_order
        )


def _without(count: int, places: Tensor) -> Tensor:
    """Ascending, all of ``count`` places but these."""
    others = torch.ones(count, dtype=torch.bool, device=places.device)
    return true_columns(others.index_fill_(0, places, False), count - len(places))
