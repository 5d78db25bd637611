"""The samples of a TIFF, out of strips or tiles of any lossless compression.

Pillow decompresses: each group of segments is written, still compressed, into a TIFF in memory
that calls its bytes 8-bit grey, one below the other. So neither LZW nor Zstandard is done here.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from v2drop_cli.media.tiff_layout import FLOAT, SIGNED, Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOSSLESS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
"""Compression tags: none, LZW, Deflate, PackBits, old Deflate, LZMA, Zstandard."""

_GROUP_BYTES = 1 << 26
_SHORT, _LONG = 3, 4


def samples(file: BinaryIO, layout: Layout) -> NDArray[Any]:
    """``[height, width, bands]``, numbers as the file means them."""
    import numpy as np

    if not layout.planes:
        return _plane(file, layout, layout.segments, layout.bands)
    each = len(layout.segments) // layout.bands
    parts = [
        _plane(file, layout, layout.segments[band * each : (band + 1) * each], 1)
        for band in range(layout.bands)
    ]
    return np.concatenate(parts, axis=-1)


def _plane(
    file: BinaryIO, layout: Layout, segments: Sequence[tuple[int, int]], bands: int
) -> NDArray[Any]:
    """The picture of these segments: ``[height, width, bands]``."""
    import numpy as np

    wide, rows = layout.tile[0] if layout.tile else layout.width, layout.segment_rows
    across = math.ceil(layout.width / wide)
    if len(segments) < across * math.ceil(layout.height / rows):
        raise ValueError(f"it has {len(segments)} strips or tiles, fewer than its size takes")
    row_bytes = math.ceil(wide * bands * layout.bits[0] / 8)
    together = max(1, _GROUP_BYTES // (row_bytes * rows))
    picture = None
    for first in range(0, across * math.ceil(layout.height / rows), together):
        group = segments[first : first + together]
        # Of strips, the last one is shorter where the height is no multiple; tiles are padded.
        left = len(group) * rows if layout.tile else layout.height - first * rows
        raw = _unpacked(
            file, layout.compression, group, (row_bytes, rows, min(left, len(group) * rows))
        )
        values = _numbers(raw, layout, wide * bands)
        if picture is None:
            picture = np.empty((layout.height, layout.width, bands), values.dtype)
        _put(picture, values.reshape(len(values), wide, bands), first, rows)
    assert picture is not None
    return picture


def _put(picture: NDArray[Any], values: NDArray[Any], first: int, rows: int) -> None:
    """Lay segments, stacked in ``values``, where they belong: ``first`` is the first's number."""
    height, width = picture.shape[:2]
    wide = values.shape[1]
    across = math.ceil(width / wide)
    for number in range(math.ceil(len(values) / rows)):
        down, right = divmod(first + number, across)
        top, left = down * rows, right * wide
        part = values[number * rows : (number + 1) * rows][: height - top, : width - left]
        picture[top : top + len(part), left : left + part.shape[1]] = part


def _unpacked(
    file: BinaryIO,
    compression: int,
    segments: Sequence[tuple[int, int]],
    shape: tuple[int, int, int],
) -> NDArray[np.uint8]:
    """Bytes of the segments, one row a row; ``shape`` is row bytes, rows a segment, all rows."""
    import numpy as np
    from PIL import Image

    row_bytes, rows, height = shape
    body, offsets = io.BytesIO(), []
    body.write(bytes(8))
    for offset, length in segments:
        file.seek(offset)
        offsets.append(body.tell())
        body.write(file.read(length))
    lists = body.tell()
    lengths = [length for _, length in segments]
    body.write(struct.pack(f"<{2 * len(segments)}L", *offsets, *lengths))
    directory, n = body.tell(), len(segments)
    entries = [
        (256, _LONG, 1, row_bytes),
        (257, _LONG, 1, height),
        (258, _SHORT, 1, 8),
        (259, _SHORT, 1, compression),
        (262, _SHORT, 1, 1),
        (273, _LONG, n, offsets[0] if n == 1 else lists),
        (277, _SHORT, 1, 1),
        (278, _LONG, 1, rows),
        (279, _LONG, n, lengths[0] if n == 1 else lists + 4 * n),
    ]
    body.write(struct.pack("<H", len(entries)))
    for entry in entries:
        body.write(struct.pack("<HHLL", *entry))
    body.write(bytes(4))
    body.seek(0)
    body.write(struct.pack("<2sHL", b"II", 42, directory))
    body.seek(0)
    with Image.open(body, formats=("TIFF",)) as image:
        return np.asarray(image)


def _numbers(raw: NDArray[np.uint8], layout: Layout, count: int) -> NDArray[Any]:
    """``[rows, count]`` samples out of rows of bytes."""
    import numpy as np

    bits, order = layout.bits[0], "<" if layout.little_endian else ">"
    if bits not in (8, 16, 32, 64):  # packed without gaps, the highest bit first
        places = np.unpackbits(raw, axis=1)[:, : count * bits].reshape(len(raw), count, bits)
        weights = (1 << np.arange(bits - 1, -1, -1)).astype(np.uint16)
        return np.asarray((places * weights).sum(axis=2, dtype=np.uint16))
    form = {FLOAT: "f", SIGNED: "i"}.get(layout.formats[0], "u")
    bands = 1 if layout.planes else layout.bands
    if layout.predictor == 3:
        raw, order = _without_float_predictor(raw, bits // 8, bands), ">"
    values = np.ascontiguousarray(raw).view(f"{order}{form}{bits // 8}")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if layout.predictor != 2:
        return values
    whole = values.view(f"u{bits // 8}").reshape(len(values), -1, bands)  # sums wrap around
    summed = np.cumsum(whole, axis=1, dtype=whole.dtype)
    return summed.reshape(len(values), -1).view(values.dtype)


def _without_float_predictor(raw: NDArray[np.uint8], size: int, bands: int) -> NDArray[np.uint8]:
    """Undo TIFF's Predictor 3: bytes of one weight lie together, differences of neighbours."""
    import numpy as np

    rows = len(raw)
    whole = np.cumsum(raw.reshape(rows, -1, bands), axis=1, dtype=np.uint8)
    by_weight = whole.reshape(rows, size, -1)  # the highest byte of all samples first
    return np.ascontiguousarray(by_weight.transpose(0, 2, 1)).reshape(rows, -1)
