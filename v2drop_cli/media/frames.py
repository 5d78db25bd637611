"""One decoded video frame → an upright RGB picture, as a player shows it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from v2drop_cli.media.light import FULL, FULL_FROM_YUV, Light, to_srgb
from v2drop_cli.media.pictures import over_white

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL.Image import Image

_TURNS = {  # (a, b, c, d): x' = a x + c y, y' = b x + d y, with y pointing down
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): "FLIP_LEFT_RIGHT",
    (-1, 0, 0, -1): "ROTATE_180",
    (1, 0, 0, -1): "FLIP_TOP_BOTTOM",
    (0, 1, 1, 0): "TRANSPOSE",
    (0, 1, -1, 0): "ROTATE_270",
    (0, -1, -1, 0): "TRANSVERSE",
    (0, -1, 1, 0): "ROTATE_90",
}
"""The eight ways that a display matrix turns and mirrors → the PIL.Image.Transpose that does it."""


def picture(frame: VideoFrame, size: tuple[int, int], light: Light) -> Image:
    """RGB, upright, over white where it is transparent.

    Args:
        frame: as it was decoded.
        size: of the result before turning: a stream may change its frame size on the way.
        light: how its numbers are meant.
    """
    from PIL import Image

    width, height = size
    untyped: Any = frame
    clear = None
    if _has_alpha(frame):
        clear = untyped.reformat(width=width, height=height, format="rgba").to_ndarray()
    if not light.ordinary or _bits(frame) > 8:
        shown: Image.Image = _deep(untyped, size, light)
    elif clear is not None:
        shown = Image.fromarray(clear[..., :3].copy())
    else:
        shown = untyped.to_image(width=width, height=height)
    if clear is not None:
        shown = over_white(shown, Image.fromarray(clear[..., 3].copy()))
    turn = _TURNS[_orientation(frame)]
    return shown.transpose(Image.Transpose[turn]) if turn else shown


def _deep(frame: Any, size: tuple[int, int], light: Light) -> Image:
    """Through 16 bits: swscale's own way from 10 bits to 8 makes white 253."""
    from PIL import Image

    width, height = size
    form, full = ("rgb48le", FULL) if frame.format.is_rgb else ("gbrp16le", FULL_FROM_YUV)
    codes = frame.reformat(width=width, height=height, format=form).to_ndarray()
    return Image.fromarray(to_srgb(codes, light, full))


def _bits(frame: VideoFrame) -> int:
    untyped: Any = frame.format
    return max((part.bits for part in untyped.components), default=8)


def _has_alpha(frame: VideoFrame) -> bool:
    untyped: Any = frame.format
    return untyped.has_palette or any(part.is_alpha for part in untyped.components)


def _orientation(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Which of the eight the display matrix is, or is nearest to."""
    data: Any
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV names all side data first, and this frame holds a newer kind
        data = None
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    return max(_TURNS, key=lambda turn: turn[0] * a + turn[1] * b + turn[2] * c + turn[3] * d)
