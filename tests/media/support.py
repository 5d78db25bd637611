"""What the tests of media share: writing small files, and looking at what was read."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from v2drop_cli.errors import MediaError

WIDTH, HEIGHT = 64, 48


def codes(loaded) -> list[str]:
    return [caveat.code for caveat in loaded.caveats]


def refusal(load, path, error=MediaError):
    """The error of ``load(path)``, checked to be one line with a hint."""
    with pytest.raises(error) as caught:
        load(path)
    for line in (caught.value.message, caught.value.hint):
        assert line
        assert "\n" not in line
    return caught.value


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    target = path.with_name(f"cut_{path.name}")
    target.write_bytes(content[: int(len(content) * share)])
    return target


def pixels(loaded, frame: int = 0):
    return np.asarray(loaded.frames[frame])


def write_video(
    path, stamps_ms=range(0, 2000, 100), *, codec="libx264", size=(WIDTH, HEIGHT), **kw
):
    """Frame i has grey level 10 * i, the top left quarter white; stamps in milliseconds."""
    with av.open(str(path), "w", options=kw.get("container", {})) as container:
        container.metadata.update(kw.get("tags", {}))
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = kw.get("options", {})
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        for index, stamp in enumerate(stamps_ms):
            image = np.full((size[1], size[0], 3), 10 * index, dtype=np.uint8)
            image[: size[1] // 2, : size[0] // 2] = 255
            if "noise" in kw:  # so that frames, not headers, make up the file
                image = np.random.default_rng(index).integers(0, 256, image.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base, frame.pts = stream.codec_context.time_base, stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_frames(path, frames, codec, pix_fmt, **context):
    """PyAV frames, ten a second, in exactly ``pix_fmt``; ``context`` sets the encoder's fields."""
    tags = context.pop("tags", {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        stream.metadata.update(tags)
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def flat_frame(pix_fmt, values, size=(WIDTH, HEIGHT)):
    """A frame whose planes hold one value each."""
    frame = av.VideoFrame(*size, pix_fmt)
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, value, kind).tobytes())
    return frame


def grey_levels(loaded) -> list[int]:
    return [round(frame.getpixel((frame.width - 8, frame.height - 8))[0] / 10)
            for frame in loaded.frames]  # fmt: skip


def write_png(path, header, data, *chunks):
    """``header`` is (width, height, bits, colour type); ``data`` its rows, a filter byte each."""
    width, height, bits, kind = header
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts))
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_tiff(path, size, segments, order="<", **tags):
    """A TIFF of those tags, by number as ``t258=8``; ``segments`` are its strips or tiles."""
    width, height = size
    places = (324, 325) if "t322" in tags else (273, 279)
    wanted = {256: width, 257: height, 259: 1, 278: height}
    wanted |= {int(name[1:]): value for name, value in tags.items()}
    body, offsets = bytearray(8), []
    for segment in segments:
        offsets.append(len(body))
        body += segment + bytes(len(segment) % 2)
    wanted[places[0]], wanted[places[1]] = tuple(offsets), tuple(map(len, segments))
    entries = b""
    for tag, value in sorted(wanted.items()):
        values = value if isinstance(value, tuple) else (value,)
        kind = 3 if tag in (258, 259, 262, 277, 284, 317, 338, 339, 274) else 4
        if isinstance(value, bytes):
            kind, values, packed = 7, value, value
        else:
            packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'L'}", *values)
        if len(packed) > 4:
            place = len(body)
            body += packed + bytes(len(packed) % 2)
            packed = struct.pack(f"{order}L", place)
        entries += struct.pack(f"{order}HHL", tag, kind, len(values)) + packed.ljust(4, b"\0")
    directory = len(body)
    body += struct.pack(f"{order}H", len(wanted)) + entries + bytes(4)
    body[:8] = struct.pack(f"{order}2sHL", b"II" if order == "<" else b"MM", 42, directory)
    path.write_bytes(body)
    return path


def packed(values, bits: int) -> bytes:
    """Rows of samples without gaps, the highest bit first, each row from a byte on."""
    rows = np.asarray(values).astype(np.int64).reshape(len(values), -1)
    places = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(places.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()
