"""High dynamic range and wide gamuts → sRGB, for video frames.

    PQ    SMPTE ST 2084: a code is a luminance, up to 10,000 cd/m²
    HLG   ARIB STD-B67: a code is a share of the scene's light, shown at up to 1,000 cd/m²

Both as in ITU-R BT.2100. White of an ordinary picture is 203 cd/m² in them (BT.2408). What is
brighter is rolled off by the curve of BT.2390 (its EETF), on the largest of the three channels so
that hues stay; a peak of 1,000 cd/m² is assumed, and what lies above it is white. Primaries are
converted last, and colours that sRGB has not are clipped.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

# Numbers of ITU-T H.273, which every container and FFmpeg use.
_BT709, _BT2020, _P3 = 1, 9, 12
_PQ, _HLG = 16, 18
_TO_SRGB = {  # linear RGB of those primaries → linear RGB of BT.709, D65 both
    _BT2020: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349),
              (-0.018151, -0.100579, 1.118730)),
    _P3: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0),
          (-0.019638, -0.078636, 1.098274)),
}  # fmt: skip
_WHITE, _PEAK, _MOST = 203.0, 1000.0, 10_000.0
_SCREEN_GAMMA = 2.4
_ROWS = 128
_PLACES = 65535

FULL, FULL_FROM_YUV = 65535, 65280
"""White among 16-bit codes; swscale makes RGB of YUV by shifting, so its white is 255 x 256."""


@dataclass(frozen=True, slots=True)
class Light:
    """How a frame's numbers are meant: H.273 codes of transfer and primaries."""

    transfer: int
    primaries: int

    @property
    def hdr(self) -> str | None:
        """``PQ`` or ``HLG``, or ``None`` for a picture of ordinary range."""
        return {_PQ: "PQ", _HLG: "HLG"}.get(self.transfer)

    @property
    def ordinary(self) -> bool:
        """Whether the numbers can be shown as they are."""
        return self.hdr is None and self.primaries not in _TO_SRGB

    @property
    def matrix(self) -> tuple[tuple[float, ...], ...] | None:
        """Primaries to those of sRGB; high dynamic range is BT.2020 where nothing is said."""
        if self.hdr and self.primaries not in (*_TO_SRGB, _BT709):
            return _TO_SRGB[_BT2020]
        return _TO_SRGB.get(self.primaries)


def light_of(frame: VideoFrame) -> Light:
    """What the frame says of itself."""
    return Light(int(frame.color_trc), int(frame.color_primaries))


def to_srgb(codes: NDArray[np.uint16], light: Light, full: int) -> NDArray[np.uint8]:
    """R'G'B' of 16 bits, ``[height, width, 3]``, as 8-bit sRGB.

    Args:
        codes: full range, as swscale makes them.
        light: how they are meant.
        full: the code of the largest value; see :data:`FULL_FROM_YUV`.
    """
    import numpy as np

    decoded, encoded = _decoded(light.transfer, full), _encoded(light.hdr is not None)
    shown = np.empty(codes.shape, np.uint8)
    for row in range(0, len(codes), _ROWS):  # floating point takes eight times the memory
        some = np.minimum(codes[row : row + _ROWS], full)
        if light.ordinary:
            shown[row : row + _ROWS] = np.rint(some * np.float32(255 / full))
            continue
        linear = decoded[some]
        if light.hdr is not None:
            linear = _tone_mapped(on_screen(linear, light.transfer))
        if light.matrix is not None:
            linear = linear @ np.array(light.matrix, np.float32).T
        # By the root, so that dark colours have enough of the table's places.
        places = np.sqrt(np.clip(linear, 0, 1)) * np.float32(_PLACES)
        shown[row : row + _ROWS] = encoded[np.rint(places).astype(np.uint16)]
    return shown


@functools.lru_cache(maxsize=4)
def _decoded(transfer: int, full: int) -> NDArray[np.float32]:
    """The light of each code: a table, for a power takes fifty times as long."""
    import numpy as np

    return to_light(np.arange(full + 1) / full, transfer).astype(np.float32)


@functools.lru_cache(maxsize=2)
def _encoded(hdr: bool) -> NDArray[np.uint8]:
    """8-bit codes of the squares of 0 to 1: of light in sRGB, or of a screen's as it came."""
    import numpy as np

    linear = (np.arange(_PLACES + 1) / _PLACES) ** 2
    if hdr:
        dark = linear <= 0.0031308
        signal = np.where(dark, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    else:
        signal = linear ** (1 / _SCREEN_GAMMA)
    return np.asarray(np.rint(signal * 255), np.uint8)


def to_light(signal: NDArray[Any], transfer: int) -> NDArray[Any]:
    """Signal from 0 to 1 → PQ: cd/m²; HLG: the scene's light; ordinary: a screen's, 0 to 1."""
    import numpy as np

    if transfer == _PQ:
        return pq_to_light(signal)
    if transfer != _HLG:
        return np.asarray(signal**_SCREEN_GAMMA)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def on_screen(light: NDArray[Any], transfer: int) -> NDArray[Any]:
    """What :func:`to_light` gives for ``[…, 3]`` channels of high dynamic range → cd/m²."""
    import numpy as np

    if transfer == _PQ:
        return light
    bright = light @ np.array((0.2627, 0.6780, 0.0593), light.dtype)
    return np.asarray(light * (light.dtype.type(_PEAK) * bright[..., None] ** 0.2))


def pq_to_light(signal: NDArray[Any]) -> NDArray[Any]:
    """PQ signal → cd/m²."""
    import numpy as np

    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.asarray(signal) ** (1 / m2)
    return np.asarray(10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1))


def light_to_pq(light: NDArray[Any]) -> NDArray[Any]:
    """cd/m² → PQ signal."""
    import numpy as np

    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (np.asarray(light) / 10000) ** m1
    return np.asarray(((c1 + c2 * power) / (1 + c3 * power)) ** m2)


def rolled_off(light: NDArray[Any]) -> NDArray[Any]:
    """The EETF of BT.2390: cd/m² up to the peak → cd/m² up to white, dark parts unchanged."""
    import numpy as np

    peak, white = light_to_pq(np.array(_PEAK)), light_to_pq(np.array(_WHITE))
    e = np.minimum(light_to_pq(light) / peak, 1)
    most = white / peak
    knee = 1.5 * most - 0.5
    t = np.maximum(e - knee, 0) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    return pq_to_light(np.where(e < knee, e, spline) * peak)


def _tone_mapped(light: NDArray[Any]) -> NDArray[Any]:
    """cd/m² → linear light with white at 1, by the gain of the largest channel."""
    import numpy as np

    largest = np.minimum(light.max(axis=-1, keepdims=True), _MOST)
    places = np.sqrt(np.sqrt(largest / np.float32(_MOST))) * np.float32(_PLACES)
    return np.asarray(light * _gains()[np.rint(places).astype(np.uint16)])


@functools.lru_cache(maxsize=1)
def _gains() -> NDArray[np.float32]:
    """The factor that :func:`rolled_off` and white at 1 mean, by the fourth root of the light."""
    import numpy as np

    lights = _MOST * (np.maximum(np.arange(_PLACES + 1), 1) / _PLACES) ** 4
    return np.asarray(rolled_off(lights) / lights / _WHITE, np.float32)
