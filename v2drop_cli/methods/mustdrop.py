"""MustDrop: merge patches in the tower, then drop what no word looks at (arXiv 2411.10803, §3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UsageError
from v2drop_cli.methods.base import (
    ATTENTION,
    CLASS_TOKEN,
    HIDDEN,
    PREVIOUS_HIDDEN,
    RENUMBERED,
    TEXT,
    TOWER,
    DropContext,
    Kept,
    Method,
    Positions,
    TowerLayer,
)
from v2drop_cli.methods.shape import Shape
from v2drop_cli.methods.signal_protocols import TowerSignals
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.tensors import top_k, true_columns

# The authors look at the output of layers 2, 6, 10 and 14; the next layers have shorter inputs.
LAYERS = (3, 7, 11, 15)
_SIDE = 3  # of a window of patches


@dataclass(frozen=True)
class MustDrop(Method):
    """Three stages, of which the schedule's layers are only the last one's.

    *In the tower*, before its block 1: windows of 3 x 3 patches whose cosines (mean over pairs) are
    at least ``window`` become their mean and move to the front, most similar first; the other
    patches follow in raster order. So the later blocks, and the decoder, have fewer tokens: the
    drop at layer 0. In the trace, a merged token has the position of its window's last patch, into
    which the authors' code adds the others.

    *The key set* is never dropped: the ``ceil(key · n)`` tokens of the n after merging that the
    class token attends to most in the tower's last block, mean over heads.

    *In the decoder*, at each drop layer L: ``a`` is the attention of the text after the picture to
    the alive tokens in layer L−1, mean over heads, and ``s_j`` the sum of a over the text. Token
    j is dropped if ``s_j < g · Σs`` and its largest a is below ``q``. So the thresholds choose the
    counts, and those of a schedule mean nothing. Published (g, q) on 576 tokens: (.001, .001) for
    192, (.0012, .001) for 128, (.011, .01) for 64. A ``window`` above 1 merges nothing. Survivors
    are renumbered.

    Deviations: the authors cut the caches of layers 2 to 14 to the final survivors when prefill
    is over, and count positions of new tokens by each layer's cache while its keys stay at their
    old ones; here each layer keeps what it has seen, and new tokens go on where it ended. "Our
    setting": rows and columns of patches left over by windows of 3 stay as they are; all images of
    a row are ranked together for the key set, and the text after the last one is looked at.

    Cost: the cosines inside windows; keys and one query of the last block; at each drop the
    attention rows of all text after the picture. Every drop waits for the device, to count.
    """

    name = "mustdrop"
    paper = "arXiv 2411.10803"
    needs: ClassVar[frozenset[str]] = frozenset(
        {HIDDEN, PREVIOUS_HIDDEN, TEXT, ATTENTION, TOWER, CLASS_TOKEN}
    )
    tower_layers: ClassVar[tuple[TowerLayer, ...]] = (-1,)
    merges_patches: ClassVar[int | None] = 1
    chooses_count: ClassVar[bool] = True
    # What is scaled, together, to meet a budget.
    thresholds: ClassVar[tuple[str, ...]] = ("g", "q")
    g: float = 0.001
    q: float = 0.001
    window: float = 0.8
    key: float = 0.08
    positions: Positions = field(default=RENUMBERED, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("g", "q"):
            if getattr(self, name) < 0:
                raise UsageError(
                    f"{name}={getattr(self, name):g} of mustdrop is below 0",
                    hint=f"give 0 or more: mustdrop:{name}=0 drops nothing inside the decoder",
                )
        if not 0 <= self.key <= 1:
            raise UsageError(
                f"key={self.key:g} of mustdrop is no share",
                hint="give 0 to 1: the share of the tokens that is never dropped",
            )

    def schedule(self, budget: float | None, shape: Shape) -> Schedule:
        """The authors' layers, whatever the depth; in a decoder that lacks one, relative depths.

        A budget is met by the thresholds, and changes nothing here.
        """
        layers = LAYERS if LAYERS[-1] < shape.depth else shape.scaled(LAYERS)
        return Schedule(tuple(Drop(layer, keep=1.0) for layer in (0, *layers)))

    # In the tower ----------------------------------------------------------------------------

    def merge_patches(self, states: Tensor, sides: tuple[int, int]) -> Kept:
        """Similar windows become one patch each; one picture's ``states [patches, D]``."""
        windows = _windows(sides).to(states.device)
        inside = torch.nn.functional.normalize(states[windows].float(), dim=-1)
        itself = torch.eye(_SIDE**2, dtype=torch.bool, device=states.device)
        cosines = (inside @ inside.mT).masked_fill(itself, 0).sum(dim=(1, 2))
        similar = cosines / (_SIDE**2 * (_SIDE**2 - 1))
        count = int((similar >= self.window).sum())
        first = windows[torch.argsort(similar, descending=True, stable=True)[:count]]
        alone = torch.ones(len(states), dtype=torch.bool, device=states.device)
        alone.index_fill_(0, first.flatten(), False)
        rest = true_columns(alone, len(states) - first.numel())
        numbers = torch.arange(count, device=states.device)[:, None].expand_as(first)
        sources = torch.full((len(states),), -1, device=states.device)
        return Kept(
            index=torch.cat([first[:, -1], rest]),
            merged=torch.cat([states[first].float().mean(dim=1), states[rest].float()]),
            sources=sources.index_copy(0, first.flatten(), numbers.flatten()),
            in_order=True,
        )

    # In the decoder --------------------------------------------------------------------------

    def select(self, ctx: DropContext) -> Kept:
        """At layer 0, what the tower left; later, what is looked at or in the key set."""
        signals = ctx.signals
        if ctx.layer == 0:
            block = signals.tower(-1)
            left = block.left()
            signals.once("key", lambda: self._key_set(ctx, block, left))
            if left.sources is None:
                return left
            states = signals.hidden()[left.index]
            return Kept(left.index, states, left.sources, in_order=True)
        attention = signals.attention(signals.text_after(), ctx.layer - 1).mean(dim=0)
        total = attention.sum(dim=0)
        dropped = (total < self.g * total.sum()) & (attention.amax(dim=0) < self.q)
        stays = ~dropped | torch.isin(ctx.positions, signals.once("key", _from_layer_0))
        return Kept(stays.nonzero()[:, 0])

    def _key_set(self, ctx: DropContext, block: TowerSignals, left: Kept) -> Tensor:
        """Positions of the key tokens among those that merging left."""
        looked_at = block.class_attention().mean(dim=0)[left.index]
        best = top_k(looked_at, math.ceil(self.key * len(left.index)))
        return ctx.positions[left.index[best]]


def _from_layer_0() -> Tensor:
    raise InstrumentError("mustdrop finds its key set at layer 0, and was not asked there")


def _windows(sides: tuple[int, int]) -> Tensor:
    """``[windows, 9]`` long: the patches of each whole window, in raster order.

    >>> _windows((3, 7)).tolist()
    [[0, 1, 2, 7, 8, 9, 14, 15, 16], [3, 4, 5, 10, 11, 12, 17, 18, 19]]
    """
    rows, columns = (side // _SIDE * _SIDE for side in sides)
    patches = torch.arange(sides[0] * sides[1]).view(sides)[:rows, :columns]
    cut = patches.reshape(rows // _SIDE, _SIDE, columns // _SIDE, _SIDE)
    return cut.transpose(1, 2).reshape(-1, _SIDE**2)
