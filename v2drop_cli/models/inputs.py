"""A processed prompt: its tensors, and where its vision tokens are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from v2drop_cli.records import Caveat, Grid
from v2drop_cli.tensors import joined, moved_to


@dataclass(frozen=True, slots=True)
class VisionTokens:
    """Where the droppable vision tokens of a prompt are.

    Attributes:
        index: per batch row, ``[n]`` long ascending positions in that row of ``input_ids``.
        grids: per batch row, one grid per span, in order.
    """

    index: tuple[Tensor, ...]
    grids: tuple[tuple[Grid, ...], ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Vision tokens per batch row."""
        return tuple(len(row) for row in self.index)


@dataclass(frozen=True, slots=True)
class Inputs:
    """One processed prompt.

    Attributes:
        tensors: what the model's ``forward`` takes (``input_ids`` ``[1, L]``, ``pixel_values`` …).
        vision: where the vision tokens are in ``input_ids``.
        caveats: what the reader of an answer to this prompt must know.
        packed: see :attr:`~v2drop_cli.models.base.Family.packed`.
    """

    tensors: Mapping[str, Tensor]
    vision: VisionTokens
    caveats: tuple[Caveat, ...] = ()
    packed: tuple[str, ...] = ()

    def to(self, device: torch.device, dtype: torch.dtype) -> Inputs:
        """The same on ``device``; pixels in ``dtype``, as the model wants them."""
        # Only pixels meet weights; seconds per video patch, say, must not be rounded to 8 bits.
        moved = {
            name: moved_to(value, device, dtype if "pixel_values" in name else None)
            for name, value in self.tensors.items()
        }
        index = tuple(row.to(device) for row in self.vision.index)
        return replace(self, tensors=moved, vision=VisionTokens(index, self.vision.grids))

    @staticmethod
    def batch(prompts: Sequence[Inputs]) -> Inputs:
        """Equally long prompts as the rows of one batch."""
        packed = prompts[0].packed
        tensors = {
            name: joined([p.tensors[name] for p in prompts], -1 if name in packed else 0)
            for name in prompts[0].tensors
        }
        index = tuple(row for p in prompts for row in p.vision.index)
        grids = tuple(row for p in prompts for row in p.vision.grids)
        caveats = tuple(dict.fromkeys(caveat for p in prompts for caveat in p.caveats))
        return Inputs(tensors, VisionTokens(index, grids), caveats, packed)
