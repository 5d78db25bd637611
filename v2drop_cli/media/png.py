"""What Pillow does with PNG files that browsers do not: too little text, too few bits."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_TEXT_MOST = 1 << 16
"""Of a text chunk that is kept; Pillow finds a camera's orientation in short ones."""
_PROFILE_MOST = 1 << 26
"""Of an ICC profile, unpacked: profiles of printers have some megabytes, a bomb has more."""


@dataclass(frozen=True, slots=True)
class Slim:
    """A PNG without its long metadata, and the ICC profile that was among it."""

    data: bytes
    profile: bytes | None


def is_png(file: Path) -> bool:
    """Whether ``file`` begins as a PNG."""
    with file.open("rb") as opened:
        return opened.read(8) == _SIGNATURE


def without_long_metadata(file: Path) -> Slim | None:
    """The same pictures without text and profiles that Pillow refuses for their length.

    ``None`` if it holds none. Pillow's limits are against files that unpack to gigabytes; they
    are its module's variables, so they are worked around here and not changed for everybody.
    """
    content = file.read_bytes()
    body, profile, dropped = io.BytesIO(), None, False
    body.write(content[:8])
    for kind, start, end in _chunks(content):
        data = content[start + 8 : end - 4]
        if kind == b"iCCP":
            profile, dropped = _profile(data), True
        elif kind in _TEXT and _is_long(kind, data):
            dropped = True
        else:
            body.write(content[start:end])
    return Slim(body.getvalue(), profile) if dropped else None


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each chunk; what is no chunk any more comes as one, to be kept."""
    at = 8
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, at)
        end = min(at + 12 + length, len(content))
        yield kind, at, end
        at = end
    if at < len(content):
        yield b"", at, len(content)


def _is_long(kind: bytes, data: bytes) -> bool:
    if len(data) > _TEXT_MOST:
        return True
    packed = data.find(b"\0") + 2
    if kind == b"tEXt" or (kind == b"iTXt" and data[packed - 1 : packed] != b"\1"):
        return False
    if kind == b"iTXt":  # keyword, compressed, method, language, keyword again
        language_end = data.find(b"\0", packed + 1)
        packed = data.find(b"\0", language_end + 1) + 1
    return len(_unpacked(data[packed:], _TEXT_MOST)) >= _TEXT_MOST


def _profile(data: bytes) -> bytes:
    """The profile, which is broken where it was cut at the limit."""
    return _unpacked(data[data.find(b"\0") + 2 :], _PROFILE_MOST)


def _unpacked(data: bytes, most: int) -> bytes:
    """The first ``most`` bytes at the most, none of what does not unpack."""
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return b""


def deep_colours(file: Path) -> tuple[Image, Image | None] | None:
    """Colours and transparency of a PNG of 16 bits in several channels; ``None`` for others.

    Pillow keeps the upper byte of each value, which also hides which of them is the transparent
    one. FFmpeg keeps all bits.
    """
    import av
    from PIL import Image

    from v2drop_cli.media.samples import Range, to_8_bits

    with file.open("rb") as opened:
        depth, kind = opened.read(26)[24:]
        if depth != 16 or kind == 0:
            return None
        opened.seek(0)
        content = opened.read()
    decoder = av.CodecContext.create("png", "r")
    try:
        frames = [*decoder.decode(av.Packet(content)), *decoder.decode(None)]
    except av.error.FFmpegError:
        return None
    if not frames:
        return None
    values = frames[0].to_ndarray(format="rgba64le")
    scaled = to_8_bits(values, Range(0, 65535))
    colours = Image.fromarray(scaled[..., :3].copy())
    clear = "a" in frames[0].format.name.removesuffix("be").removesuffix("le")
    return colours, Image.fromarray(scaled[..., 3].copy()) if clear else None


def grey_step(file: Path) -> int:
    """What Pillow multiplies grey values of fewer than 8 bits by, but not the transparent one."""
    with file.open("rb") as opened:
        depth = opened.read(26)[24]
    return 255 // (2**depth - 1) if depth < 8 else 1
