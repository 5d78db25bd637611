"""High dynamic range and wide gamuts → sRGB, for video frames.

    PQ    SMPTE ST 2084: a code is a luminance, up to 10,000 cd/m²
    HLG   ARIB STD-B67: a code is a share of the scene's light, shown at up to 1,000 cd/m²

Both as in ITU-R BT.2100. White of an ordinary picture is 203 cd/m² in them (BT.2408). What is
brighter is rolled off by the curve of BT.2390 (its EETF), on the largest of the three channels so
that hues stay; a peak of 1,000 cd/m² is assumed, and what lies above it is white. Primaries are
converted last, and colours that sRGB has not are clipped.
"""

from __future__ import annotations

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
_WHITE, _PEAK = 203.0, 1000.0
_SCREEN_GAMMA = 2.4
_ROWS = 128

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

    shown = np.empty(codes.shape, np.uint8)
    for row in range(0, len(codes), _ROWS):  # floating point takes eight times the memory
        signal = np.minimum(codes[row : row + _ROWS] / np.float32(full), 1)
        shown[row : row + _ROWS] = np.rint(_encoded(signal, light) * 255)
    return shown


def _encoded(signal: NDArray[Any], light: Light) -> NDArray[Any]:
    import numpy as np

    if light.ordinary:
        return signal
    linear = signal**_SCREEN_GAMMA if light.hdr is None else _tone_mapped(signal, light)
    if light.matrix is not None:
        linear = linear @ np.array(light.matrix, np.float32).T
    linear = np.clip(linear, 0, 1)
    return np.asarray(linear ** (1 / _SCREEN_GAMMA)) if light.hdr is None else _srgb(linear)


def luminance(signal: NDArray[Any], transfer: int) -> NDArray[Any]:
    """Signal ``[…, 3]`` from 0 to 1 → light of each channel on a screen, in cd/m²."""
    import numpy as np

    if transfer == _PQ:
        return pq_to_light(signal)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    bright = scene @ np.array((0.2627, 0.6780, 0.0593), scene.dtype)
    return np.asarray(_PEAK * scene * bright[..., None] ** 0.2)


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


def _tone_mapped(signal: NDArray[Any], light: Light) -> NDArray[Any]:
    """Linear light, white at 1."""
    import numpy as np

    linear = luminance(signal, light.transfer)
    largest = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
    return np.asarray(linear * (rolled_off(largest) / largest / _WHITE))


def _srgb(linear: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
