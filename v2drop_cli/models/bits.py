"""How many bits a fake-quantised decoder computes with, as it is typed: no torch here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from v2drop_cli.errors import UsageError

FEWEST, MOST, UNTOUCHED = 2, 8, 16
"""Bits that can be asked for: from the fewest to the most, or untouched, as the model has them."""


@dataclass(frozen=True, slots=True)
class Bits:
    """``w4a4``: weights of 4 bits, activations of 4 bits; 16 leaves either as it is.

    Attributes:
        weights: bits of one weight.
        activations: bits of one number that a linear layer is given.
    """

    weights: int
    activations: int

    @classmethod
    def parse(cls, text: str) -> Bits:
        """Read the text form.

        >>> Bits.parse("w4a16"), str(Bits(8, 8))
        (Bits(weights=4, activations=16), 'w8a8')

        Raises:
            UsageError: it is none, or asks for so many bits as cannot be had.
        """
        found = re.fullmatch(r"w(\d+)a(\d+)", text)
        numbers = [int(number) for number in found.groups()] if found else []
        known = [*range(FEWEST, MOST + 1), UNTOUCHED]
        if not numbers or any(number not in known for number in numbers):
            raise UsageError(
                f"{text!r} is no fake quantisation",
                hint=f"wXaY, for example w4a4: bits of weights and of activations, {FEWEST} to "
                f"{MOST}, or {UNTOUCHED} for untouched",
            )
        return cls(*numbers)

    def __str__(self) -> str:
        return f"w{self.weights}a{self.activations}"
