"""Patches merged inside the vision tower, so that its later blocks run on fewer of them.

transformers goes on as if nothing had happened: its projector, and what puts features in the place
of the prompt's image tokens, expect one state a patch. So the tower's output is made long again,
with the state of a merged patch in the places of all that went into it. Of these places all but
one are left out by the drop at layer 0, where the method says what :meth:`Merged.left` says.

One picture of a class token and 12 patches, 3 rows of 4, of which the first three columns merge:

    block 0     0 | 1 2 3 4 | 5 6 7 8 | 9 10 11 12    0 is the class token
    blocks 1-   0 | 11 4 8 12                         11, the last one, is the mean of nine
    output      0 | 11 11 11 4 | 11 11 11 8 | 11 11 11 12
    layer 0     11 4 8 12                             survivors, in the order that they had above
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.weak import WeakIdKeyDictionary

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.hooks import Before, Call
from v2drop_cli.instrument.masks import padding_mask
from v2drop_cli.methods.base import Kept, Method
from v2drop_cli.models.projections import Tower


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the places of some pictures; the class token has a place of its own.

    Attributes:
        index: ``[pictures, m]`` long, the place that each one left stands for, in their order;
            pictures with fewer are filled up on the right with place 0.
        into: ``[pictures, places]`` long, which of those left each place went into.
        lengths: how many are left of each picture.
    """

    index: Tensor
    into: Tensor
    lengths: tuple[int, ...]

    @property
    def valid(self) -> Tensor | None:
        """``[pictures, m]`` bool, what is no filler; ``None`` without any."""
        if min(self.lengths) == max(self.lengths):
            return None
        places = torch.arange(self.index.shape[1], device=self.index.device)
        return places < torch.tensor(self.lengths, device=self.index.device)[:, None]

    @property
    def stands(self) -> Tensor:
        """``[pictures, places]`` bool, the places that stand for what is left."""
        places = torch.arange(self.into.shape[1], device=self.into.device)
        return self.index.gather(1, self.into) == places

    def of(self, pictures: slice) -> Merged:
        """The same of some pictures."""
        return Merged(self.index[pictures], self.into[pictures], self.lengths[pictures])

    def full(self, states: Tensor) -> Tensor:
        """``[pictures, m, D]`` at the full length again."""
        into = self.into.to(states.device)  # blocks of the tower may be on several
        return states.gather(1, into[..., None].expand(-1, -1, states.shape[2]))

    def left(self, picture: Tensor, place: Tensor) -> Kept:
        """Which of a row's tokens are left, in their order, and what went into which.

        Args:
            picture: ``[n]`` long, each token's picture, ascending.
            place: ``[n]`` long, its place there.
        """
        width = self.index.shape[1]
        short = self.into[picture, place]
        own = (self.index[picture, short] == place).nonzero()[:, 0]
        where = picture * width + short
        index = own[where[own].argsort()]
        entries = torch.full((self.index.numel(),), -1, device=place.device)
        entries[where[index]] = torch.arange(len(index), device=place.device)
        if len(index) == len(where):
            return Kept(index, in_order=bool((index.diff() < 0).any()))
        alone = torch.bincount(where, minlength=len(entries))[where] == 1
        return Kept(index, sources=entries[where].masked_fill(alone, -1), in_order=True)


class PatchMerging:
    """Merges patches before one block of a model's vision tower, as a method says."""

    def __init__(self, how: Tower, config: Any, tower: Any, method: Method) -> None:
        assert method.merges_patches is not None
        self.how, self.tower, self.method = how, tower, method
        self.at = method.merges_patches
        self.first = 0 if how.class_token(config) is None else 1  # places before the patches
        self._running: Merged | None = None  # of the pictures that are being encoded
        self._mask: Any = None
        # By the tower's output, for as long as somebody has that.
        self._by_output: Any = WeakIdKeyDictionary()

    @classmethod
    def of(cls, how: Tower, config: Any, tower: Any, method: Method) -> PatchMerging:
        """That of one model.

        Raises:
            UnsupportedModelError: its images are cut into tiles, or its features come from blocks
                before the one that merges.
            InstrumentError: the tower has no such block, or the method looks at one before it.
        """
        found, count = cls(how, config, tower, method), len(how.layers(tower))
        blocks = [layer % count for layer in method.tower_layers if isinstance(layer, int)]
        if found.at >= count or any(block < found.at for block in blocks):
            raise InstrumentError(
                f"{method.name} merges patches before block {found.at} of {count} in the vision "
                "tower, and cannot look at blocks before that"
            )
        if how.tiled:
            raise UnsupportedModelError(
                f"{method.name} merges patches of whole pictures, and this model cuts them up",
                hint="take a method that does not merge inside the tower",
            )
        early = [i for i in how.features(config) if i is not None and i <= found.at]
        if early:
            raise UnsupportedModelError(
                f"{method.name} merges patches before block {found.at} of the vision tower, and "
                f"this model takes its features from what enters block {early[0]}",
                hint="take a method that does not merge inside the tower",
            )
        return found

    def hooks(self) -> list[Before]:
        """One hook a block, from the one on whose input is shortened."""
        return [
            Before(block, self._shorten if i == 0 else self._enter)
            for i, block in enumerate(self.how.layers(self.tower)[self.at :])
        ]

    def _shorten(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The block's call with the patches that are left."""
        states = args[0] if args else kwargs["hidden_states"]
        before, patches = states[:, : self.first], states[:, self.first :]
        sides = self.how.sides(patches.shape[1])
        kept = [self.method.merge_patches(picture, sides) for picture in patches]
        self._running = _merged(kept, self.first, states)
        left = [_states(one, picture) for one, picture in zip(kept, patches, strict=True)]
        short = torch.cat([before, pad_sequence(left, batch_first=True)], dim=1)
        valid = self._running.valid
        self._mask = None if valid is None else padding_mask(self.tower.config, short, valid)
        return self._called(short, args, kwargs)

    def _enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """A later block's call: pictures with fewer patches have filler, which is masked."""
        if self._mask is None:
            return None
        return self._called(args[0] if args else kwargs["hidden_states"], args, kwargs)

    def _called(self, states: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        given = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
        if given is not None:
            raise InstrumentError(
                f"{self.method.name} merges patches, and this vision tower masks some of them",
                hint="pass pictures of one size, without a mask of their patches",
            )
        named = ("hidden_states", "attention_mask")
        others = {name: value for name, value in kwargs.items() if name not in named}
        return (states, self._mask, *args[2:]), others

    def restored(self, output: Any) -> Any:
        """The tower's output at its full length; ``None`` if it raised. Ends an encoding."""
        merged, self._running, self._mask = self._running, None, None
        if output is None or merged is None:
            return output
        for name, value in output.items():
            # What entered the blocks up to the one that merges is long already.
            early = tuple(value[: self.at + 1]) if name == "hidden_states" else ()
            output[name] = (
                (*early, *_long(value[len(early) :], merged)) if early else _long(value, merged)
            )
        self._by_output[output.last_hidden_state] = merged
        return output

    def merged(self, last: Tensor) -> Merged:
        """What became of the pictures that the tower returned ``last`` for."""
        found: Merged = self._by_output[last]
        return found


def _states(kept: Kept, patches: Tensor) -> Tensor:
    """``[k, D]`` of the patches that are left, in their dtype."""
    return patches[kept.index] if kept.merged is None else kept.merged.to(patches)


def _long(value: Any, merged: Merged) -> Any:
    """``value`` with all states that are of merged patches made long again."""
    if isinstance(value, tuple):
        return tuple(_long(part, merged) for part in value)
    if isinstance(value, Tensor) and value.shape[:2] == merged.index.shape and value.dim() == 3:
        return merged.full(value)
    return value


def _merged(kept: Sequence[Kept], first: int, states: Tensor) -> Merged:
    """The bookkeeping of all pictures, whose first ``first`` places are no patches."""
    index, into = [], []
    before = torch.arange(first, device=states.device)
    for one in kept:
        own = one.index + first
        index.append(torch.cat([before, own]))
        places = torch.full((states.shape[1],), -1, device=states.device)
        places[:first] = before
        places[own] = torch.arange(len(own), device=states.device) + first
        if one.sources is not None:
            gone = (one.sources >= 0).nonzero()[:, 0]
            places[gone + first] = one.sources[gone] + first
        if bool((places < 0).any()):
            raise InstrumentError(
                "a patch that is left out inside the vision tower went into none that is left",
                hint="merge_patches names in Kept.sources what each of them goes into; to drop "
                "tokens, use select",
            )
        into.append(places)
    lengths = tuple(len(own) for own in index)
    return Merged(pad_sequence(index, batch_first=True), torch.stack(into), lengths)
