"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEIF = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC",
    b"hevc": "HEIC", b"hevx": "HEIC", b"hevm": "HEIC", b"hevs": "HEIC",
    b"avif": "AVIF", b"avis": "AVIF",
}  # fmt: skip
_HEIF_OF_ANY_KIND = frozenset({b"mif1", b"msf1", b"mif2"})
_PREFIXES = (
    (rb"\xff\xd8\xff", "JPEG"), (rb"\x89PNG", "PNG"), (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"RIFF....WEBP", "WebP"), (rb"GIF8", "GIF"), (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb"%PDF", "PDF"), (rb"8BPS", "PSD"), (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*-->\s*)?<svg", "SVG"),
)  # fmt: skip
_MULTI_PICTURE = b"MPF\0"


def heif_name(file: Path) -> str | None:
    """``HEIC``, ``AVIF`` or ``HEIF`` for a still picture in that box format, else ``None``."""
    with file.open("rb") as opened:
        start = opened.read(256)
    length = int.from_bytes(start[:4], "big")
    if start[4:8] != b"ftyp" or length < 16:
        return None
    major, others = start[8:12], start[16:length]
    if major in _HEIF:
        return _HEIF[major]
    if major not in _HEIF_OF_ANY_KIND:
        return None
    brands = (others[at : at + 4] for at in range(0, len(others), 4))
    return next((_HEIF[brand] for brand in brands if brand in _HEIF), "HEIF")


def name_of(file: Path) -> str | None:
    """The format that ``file`` begins as, if it is one that people take for a picture."""
    with file.open("rb") as opened:
        start = opened.read(1024)
    found = (name for prefix, name in _PREFIXES if re.match(prefix, start, re.DOTALL))
    return heif_name(file) or next(found, None)


def is_motion_jpeg(file: Path) -> bool:
    """Whether ``file`` is one JPEG after the other, as cameras write bare Motion JPEG.

    Previews and second lenses in a photograph are no motion: those are announced by a
    multi-picture segment, or lie behind something else.
    """
    with file.open("rb") as opened:
        if opened.read(3) != b"\xff\xd8\xff":
            return False
    content = file.read_bytes()
    end = _end_of_jpeg(content)
    if end is None or _MULTI_PICTURE in content[: min(end, 1 << 18)]:
        return False
    rest = content[end : end + 4096].lstrip(b"\0\r\n\xff ")
    boundary = re.match(rb"--[^\r\n]+\r\n(?:[^\r\n]+\r\n)*\r\n", rest)
    return rest[boundary.end() if boundary else 0 :].startswith((b"\xff\xd8\xff", b"\xd8\xff"))


def _end_of_jpeg(content: bytes) -> int | None:
    """Where the first picture ends: behind its end marker, not behind that of a thumbnail."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker == 0xD9:
            return at + 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            if marker == 0xDA:  # picture data: up to a marker that is no restart
                found = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(content, at)
                if found is None:
                    return None
                at = found.start()
    return at + 2 if content[at : at + 2] == b"\xff\xd9" else None
