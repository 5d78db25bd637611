"""PNG files that browsers show and Pillow alone reads otherwise, or not at all."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.media.support import codes, pixels, png_chunk, refusal, write_png
from v2drop_cli.media import load_image, png

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
BIG = 3 << 20


def rows_of(values):
    """Big-endian 16-bit samples with a filter byte a row."""
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.asarray(values))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_is_that_of_the_files_own_bits(bits, tmp_path):
    most = 2**bits - 1
    values = [0, 1, most, 1]
    row = np.packbits([int(bit) for value in values for bit in f"{value:0{bits}b}"]).tobytes()
    path = write_png(tmp_path / "a.png", (4, 1, bits, GREY), b"\0" + row, (b"tRNS", b"\0\1"))
    shown = [255 if value == 1 else round(255 * value / most) for value in values]
    assert pixels(load_image(path))[0, :, 0].tolist() == shown


def test_the_transparent_grey_of_16_bits(tmp_path):
    path = write_png(tmp_path / "a.png", (3, 1, 16, GREY), rows_of([[0, 300, 301]]),
                     (b"tRNS", struct.pack(">H", 300)))  # fmt: skip
    assert pixels(load_image(path))[0, :, 0].tolist() == [0, 255, 1]


def test_the_transparent_colour_of_16_bits_is_told_by_all_of_them(tmp_path):
    colours = [[(0x1234, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9ABD), (0x1300, 0x5678, 0x9ABC)]]
    path = write_png(tmp_path / "a.png", (3, 1, 16, RGB), rows_of(np.reshape(colours, (1, 9))),
                     (b"tRNS", struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC)))  # fmt: skip
    expected = [[255, 255, 255], [18, 86, 154], [19, 86, 154]]
    assert pixels(load_image(path))[0].tolist() == expected


@pytest.mark.parametrize(("kind", "bands"), [(RGB, 3), (GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_16_bit_colours_and_transparency_are_rounded_not_cut(kind, bands, tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, bands))
    path = write_png(tmp_path / "a.png", (7, 5, 16, kind), rows_of(values.reshape(5, -1)))
    share = values / 65535
    opacity = share[..., -1:] if bands in (2, 4) else 1
    colours = share[..., :-1] if bands in (2, 4) else share
    expected = np.broadcast_to((colours * opacity + 1 - opacity) * 255, (5, 7, 3))
    assert np.abs(pixels(load_image(path)) - expected).max() <= (0.501 if bands == 3 else 1.5)


def test_a_palette_with_transparency(tmp_path):
    palette = bytes((255, 0, 0, 0, 0, 255, 0, 255, 0))
    path = write_png(tmp_path / "a.png", (3, 1, 8, PALETTE), b"\0\0\1\2",
                     (b"PLTE", palette), (b"tRNS", bytes((0, 100))))  # fmt: skip
    assert pixels(load_image(path))[0].tolist() == [[255, 255, 255], [155, 155, 255], [0, 255, 0]]


def text_chunks():
    plain = b"Comment\0" + b"x" * BIG
    packed = b"Comment\0\0" + zlib.compress(b"x" * BIG)
    international = b"Comment\0\1\0en\0Kommentar\0" + zlib.compress(b"x" * BIG)
    return {"tEXt": plain, "zTXt": packed, "iTXt": international}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_long_text_does_not_hide_the_picture(kind, place, tmp_path):
    chunk = png_chunk(kind.encode(), text_chunks()[kind])
    source = io.BytesIO()
    Image.new("RGB", (8, 8), (220, 30, 30)).save(source, "png")
    content = source.getvalue()
    at = 33 if place == "before" else len(content) - 12
    (tmp_path / "a.png").write_bytes(content[:at] + chunk + content[at:])
    loaded = load_image(tmp_path / "a.png")
    assert loaded.frames[0].getpixel((4, 4)) == (220, 30, 30)
    assert not loaded.caveats


def test_short_text_beside_long_text_is_kept(tmp_path):
    xmp = b"<x:xmpmeta><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"
    path = write_png(
        tmp_path / "a.png", (4, 2, 8, GREY), (b"\0" + bytes(4)) * 2,
        (b"zTXt", text_chunks()["zTXt"]), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    )  # fmt: skip
    assert load_image(path).frames[0].size == (2, 4)  # Pillow finds the turn in that text


def padded_profile():
    """Display P3, near enough, with a private tag that unpacks to megabytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile += bytes(BIG)
    profile[:4] = struct.pack(">L", len(profile))
    return bytes(profile)


def test_a_long_profile_is_used_not_refused(tmp_path):
    packed = b"wide\0\0" + zlib.compress(padded_profile())
    path = write_png(tmp_path / "a.png", (1, 1, 8, RGB), b"\0\xdc\x1e\x1e", (b"iCCP", packed))
    loaded = load_image(path)
    assert loaded.frames[0].getpixel((0, 0)) == (220, 30, 30)
    assert not loaded.caveats


def test_a_profile_that_unpacks_without_end_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(png, "_PROFILE_MOST", 1 << 21)
    packed = b"bomb\0\0" + zlib.compress(bytes(BIG))
    path = write_png(tmp_path / "a.png", (1, 1, 8, RGB), b"\0\xdc\x1e\x1e", (b"iCCP", packed))
    loaded = load_image(path)
    assert loaded.frames[0].getpixel((0, 0)) == (220, 30, 30)
    assert codes(loaded) == ["image_profile_ignored"]


def test_pillows_limits_stay_as_they_are(tmp_path):
    from PIL import PngImagePlugin

    before = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
    path = write_png(tmp_path / "a.png", (1, 1, 8, GREY), b"\0\0", (b"zTXt", text_chunks()["zTXt"]))
    load_image(path)
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)


def test_a_png_that_is_cut_short_is_still_refused(tmp_path):
    path = write_png(tmp_path / "a.png", (64, 64, 8, RGB), (b"\0" + bytes(192)) * 64,
                     (b"zTXt", text_chunks()["zTXt"]))  # fmt: skip
    path.write_bytes(path.read_bytes()[:-40])
    refusal(load_image, path)
