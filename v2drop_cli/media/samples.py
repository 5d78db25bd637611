"""Sample values of a still picture → 8 bits, by what the file says black and white are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaError
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_CODES = 1 << 16
_ROWS = 256
"""Rows scaled at once: a large picture must not need its size in floating point as well."""


@dataclass(frozen=True, slots=True)
class Range:
    """The values that mean black and white."""

    black: float
    white: float

    @property
    def inverted(self) -> Range:
        """The same with black and white exchanged."""
        return Range(self.white, self.black)


def to_8_bits(values: NDArray[Any], span: Range) -> NDArray[np.uint8]:
    """Scale, round and clip; what is not a number is drawn as the lower end.

    >>> import numpy as np
    >>> to_8_bits(np.array([[0, 2048, 4095]]), Range(0, 4095)).tolist()
    [[0, 128, 255]]
    """
    import numpy as np

    if values.dtype in (np.uint8, np.uint16) and values.size > _CODES:
        table = to_8_bits(np.arange(_CODES, dtype=np.uint16), span)
        return np.asarray(table[values])
    scaled = np.empty(values.shape, np.uint8)
    low = min(span.black, span.white)
    # Multiplied before it is divided: v * 255 / 4095 then is exact where the quotient is.
    width = (span.white - span.black) or 1.0
    for row in range(0, len(values), _ROWS):
        some = values[row : row + _ROWS].astype(np.float64)
        if values.dtype.kind == "f":
            some = np.nan_to_num(some, nan=low)
        shares = (some - span.black) * 255.0 / width
        scaled[row : row + _ROWS] = np.rint(np.clip(shares, 0, 255)).astype(np.uint8)
    return scaled


def known_range(values: NDArray[Any], bits: int) -> Range | None:
    """Black and white where the kind of sample fixes them.

    Unsigned samples of up to 16 bits use all of them for a picture; wider ones hold counts or
    measured quantities. Floating-point pictures run from 0 to 1.
    """
    if values.dtype.kind == "u" and bits <= 16:
        return Range(0.0, 2.0**bits - 1)
    if values.dtype.kind == "f":
        found = _extremes(values)
        if found and found.black >= 0 and found.white <= 1:
            return Range(0.0, 1.0)
    return None


def stretched(values: NDArray[Any], file: Path) -> tuple[Range, Caveat]:
    """The smallest value as black and the largest as white, and the caveat that says so.

    Raises:
        MediaError: no value is finite.
    """
    found = _extremes(values)
    if found is None:
        raise MediaError(f"{file} holds no finite pixel value", hint="export it as 8-bit PNG")
    return found, CaveatKind.IMAGE_RANGE_STRETCHED.caveat(
        file=file.name, low=found.black, high=found.white
    )


def _extremes(values: NDArray[Any]) -> Range | None:
    import numpy as np

    if values.dtype.kind != "f":
        return Range(float(values.min()), float(values.max()))
    finite = values[np.isfinite(values)]
    return Range(float(finite.min()), float(finite.max())) if finite.size else None
