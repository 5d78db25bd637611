"""TIFF pictures by the tags that define their samples, for what Pillow cannot or misreads.

Pillow takes 12-bit values for 16-bit ones, unsigned values for signed ones and inverted ones for
straight ones, and knows no 10 or 14 bits. It unpacks every compression, though. So the strips
or tiles of such a file are handed to it as bytes, one sample each, and what the bytes mean is
worked out here: bits per sample, sample format, byte order, predictor, photometric
interpretation, extra samples, planes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaError
from v2drop_cli.media import limits
from v2drop_cli.media.samples import Range, known_range, stretched, to_8_bits
from v2drop_cli.media.tiff_layout import (
    FLOAT,
    MIN_IS_BLACK,
    MIN_IS_WHITE,
    PREMULTIPLIED,
    RGB,
    SIGNED,
    UNDEFINED,
    UNSIGNED,
    Layout,
    layout_of,
)
from v2drop_cli.media.tiff_strips import LOSSLESS, samples
from v2drop_cli.records import Caveat

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_PREFIXES = (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")
_ORIENTATION, _ICC = 274, 34675


@dataclass(frozen=True, slots=True)
class TiffPicture:
    """The first picture of a TIFF: 8-bit colours, and where it is transparent."""

    colours: Image
    alpha: Image | None
    profile: bytes | None
    orientation: int
    several: bool
    caveats: tuple[Caveat, ...]


def read_tiff(file: Path) -> TiffPicture | None:
    """The picture in ``file``, or ``None`` where Pillow reads it rightly by itself.

    Raises:
        MediaError: its bands have no meaning as a picture, or it is too large.
    """
    with file.open("rb") as opened:
        if not opened.read(4).startswith(_PREFIXES):
            return None
        tags = _tags(opened)
        if tags is None:
            return None
        layout = layout_of(tags)
        if layout is None or _left_to_pillow(layout):
            return None
        _check(layout, file)
        values = samples(opened, layout)
    return _picture(values, layout, tags, file)


def tiff_kind(file: Path) -> str | None:
    """What a TIFF holds, in words; ``None`` where its tags are not sound."""
    with file.open("rb") as opened:
        tags = _tags(opened)
    layout = None if tags is None else layout_of(tags)
    return None if layout is None else layout.kind


def _tags(opened: Any) -> Any:
    """The first directory, as Pillow parses it; ``None`` where it is not whole."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    opened.seek(0)
    header = opened.read(8)
    header += opened.read(8) if 43 in header[2:4] else b""
    try:
        tags = ImageFileDirectory_v2(header)
        opened.seek(tags.next)
        tags.load(opened)
        _ = (tags[256], tags[257])
    except Exception:  # Pillow meets the same when it opens the file, and that is reported
        return None
    return tags


def _left_to_pillow(layout: Layout) -> bool:
    """Whether Pillow's reading is right: 8 unsigned bits or fewer, and what is no plain sample."""
    if layout.compression not in LOSSLESS:
        return True
    if layout.photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, RGB):
        return True
    if layout.reversed_bits:
        return True
    if layout.alpha == PREMULTIPLIED:  # of grey, older versions know none
        return False
    plain = layout.formats in ((UNSIGNED,), (UNDEFINED,)) and max(layout.bits) <= 8
    return plain and layout.bands <= layout.colours + min(1, len(layout.extra))


def _check(layout: Layout, file: Path) -> None:
    if layout.width * layout.height > limits.MAX_PIXELS:
        raise limits.too_large(file, f"{layout.width} x {layout.height} pixels")
    hint = "export it as 8-bit RGB or grey, for example as PNG"
    message = f"{file} holds {layout.kind}: "
    if layout.colours == 1 and layout.bands > 2:
        why = "which of the bands are red, green and blue is not said"
        hint = "export three of its bands as one RGB picture, for example as PNG"
        raise MediaError(message + why, hint=hint)
    if len(set(layout.bits)) > 1 or len(layout.formats) > 1 or len(layout.bits) < layout.colours:
        raise MediaError(message + "bands that differ in kind are not read", hint=hint)
    if layout.formats[0] not in (UNSIGNED, SIGNED, FLOAT, UNDEFINED):
        raise MediaError(message + "complex numbers make no picture", hint=hint)
    bits, wide = layout.bits[0], (8, 16, 32, 64)
    allowed = {FLOAT: wide[1:], SIGNED: wide}.get(layout.formats[0], (*range(1, 17), 32, 64))
    if bits not in allowed or (layout.predictor != 1 and bits not in wide):
        raise MediaError(message + "samples of that size are not read", hint=hint)


def _picture(values: NDArray[Any], layout: Layout, tags: Any, file: Path) -> TiffPicture:
    """``values [height, width, bands]`` as 8-bit pictures."""
    from PIL import Image

    colours = values[..., : layout.colours]
    span, caveats = known_range(colours, layout.bits[0]), list[Caveat]()
    if span is None:
        span, caveat = stretched(colours, file)
        caveats.append(caveat)
    if layout.photometric == MIN_IS_WHITE:
        span = span.inverted
    shown = to_8_bits(colours, span)
    alpha = None
    if layout.alpha is not None:
        opacity = values[..., layout.colours]
        clear = to_8_bits(opacity, _opaque(opacity, layout))
        alpha = Image.fromarray(clear)
        if layout.alpha == PREMULTIPLIED:
            shown = _straight(shown, clear)
    return TiffPicture(
        colours=Image.fromarray(shown if layout.colours == 3 else shown[..., 0]),
        alpha=alpha,
        profile=tags.get(_ICC),
        orientation=int(tags.get(_ORIENTATION, 1)),
        several=bool(tags.next),
        caveats=tuple(caveats),
    )


def _straight(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the multiplication by the transparency."""
    import numpy as np

    parts = np.maximum(alpha, 1)[..., None]
    whole = (colours * np.uint16(255) + parts // 2) // parts
    return np.asarray(np.minimum(whole, 255), np.uint8)


def _opaque(opacity: NDArray[Any], layout: Layout) -> Range:
    if opacity.dtype.kind == "f":
        return Range(0.0, 1.0)
    return Range(0.0, 2.0 ** (layout.bits[0] - (opacity.dtype.kind == "i")) - 1)
