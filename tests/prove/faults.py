"""Ways of dropping wrongly, each put into the instrument where the right thing is done."""

from __future__ import annotations

import torch

from v2drop_cli.instrument import context as state
from v2drop_cli.instrument import numbering, remade
from v2drop_cli.instrument.masks import causal_mask
from v2drop_cli.methods import base
from v2drop_cli.methods.uniform import Uniform
from v2drop_cli.tensors import gather_rope, top_k


def both_ways(config, hidden, *, past, valid, blocks=None, **more):
    """A mask that lets the prompt look ahead."""
    ahead = None if past else torch.zeros(hidden.shape[:2], dtype=torch.long)
    return causal_mask(config, hidden, past=past, valid=valid, blocks=ahead, **more)


def filler_seen(config, hidden, *, past, valid, blocks=None, **more):
    """A mask that forgets which columns are padding or filler: shows in a ragged batch."""
    return causal_mask(config, hidden, past=past, valid=None, blocks=blocks, **more)


def renumbered(rope, index):
    """The positions 0, 1, 2 … for the survivors, in place of those that they had."""
    return gather_rope(rope, torch.arange(index.shape[1]).expand_as(index))


def shifted(rope, index):
    """Each survivor at the position after its own."""
    return gather_rope(rope, (index + 1).clamp_max(rope[0].shape[-2] - 1))


def least(scores, k):
    """The tokens that moved least."""
    return top_k(-scores, k)


def first(scores, k):
    """The first tokens, whatever they did."""
    return torch.arange(k)


def untold(cache, columns):
    """Layer 0's cache is not told what it does not hold: later tokens are counted too low."""


def from_the_front(self, ctx):
    """The first tokens, whatever was asked for."""
    return base.Kept(torch.arange(ctx.n_keep))


# Of drops at layer 0, with the batch in which each shows.
ENTRY_FAULTS = {
    "position: renumbered": (numbering, "gather_rope", renumbered, "image"),
    "position: not told": (state, "leave_out", untold, "image"),
    "mask: filler seen": (remade, "causal_mask", filler_seen, "ragged"),
    "kept: the first": (Uniform, "select", from_the_front, "ragged"),
}

FAULTS = {
    "mask: both ways": (remade, "causal_mask", both_ways),
    "mask: filler seen": (remade, "causal_mask", filler_seen),
    "position: renumbered": (numbering, "gather_rope", renumbered),
    "position: shifted": (numbering, "gather_rope", shifted),
    "kept: least moved": (base, "top_k", least),
    "kept: the first": (base, "top_k", first),
}
