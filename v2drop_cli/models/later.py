"""Vision features that a decoder adds between its layers, at all vision tokens of the prompt.

Granite 4 Vision hands its decoder ``{layer: features}``, and its loop adds them to what enters
those layers; DeepStack hands it a list, and adds each to what leaves a layer. After a drop some of
those tokens are gone, so the loop would add at wrong rows. The instrument takes such features out
of the decoder's hands, and adds them to the survivors itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Later:
    """What one forward's decoder is to add, and where.

    Attributes:
        argument: the decoder's argument that holds :attr:`features`.
        features: layer → ``[N, D]``, added to what enters it; one for each vision token, row by
            row.
        where: ``[B, Q]`` bool, the columns of those tokens.
        listed: the argument is a list: what leaves layer 0, layer 1, and so on.
        alone: the tokens are empty but for these features.
    """

    argument: str
    features: Mapping[int, Tensor]
    where: Tensor
    listed: bool = False
    alone: bool = False

    def handed_on(self, until: int) -> Any:
        """The argument with those features alone that enter layers up to ``until``."""
        rest = {layer: found for layer, found in self.features.items() if layer <= until}
        return list(rest.values()) if self.listed else rest
