"""Colour profiles: as LittleCMS converts them, or left out and said."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.media.support import codes, pixels
from v2drop_cli.media import load_image

# Columns of a matrix profile: XYZ (D50) of red, green and blue, and its gamma.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
D50 = (0.9642, 1.0, 0.8249)
SAMPLES = [(220, 30, 30), (20, 200, 40), (30, 60, 230), (255, 255, 255), (0, 0, 0), (128, 128, 128)]


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}l", *(round(number * 65536) for number in numbers))


def profile(space, tags):
    """An ICC profile of version 2 for a screen or for grey."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50), b"desc": b"desc" + bytes(86), **tags}
    head, body = struct.pack(">L", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        head += name + struct.pack(">LL", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    whole = 128 + len(head) + len(body)
    header = struct.pack(">L4xL4s4s4s", whole, 0x02200000, b"mntr", space, b"XYZ ")
    header = header.ljust(36, b"\0") + b"acsp" + bytes(28) + fixed(*D50)
    return header.ljust(128, b"\0") + head + body


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">LH", 1, round(gamma * 256))


def screen(primaries, gamma):
    names = (b"rXYZ", b"gXYZ", b"bXYZ")
    tags = {name: b"XYZ \0\0\0\0" + fixed(*xyz) for name, xyz in zip(names, primaries, strict=True)}
    return profile(
        b"RGB ", {**tags, **{name: curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}}
    )


def littlecms(image, data):
    source = ImageCms.getOpenProfile(io.BytesIO(data))
    return np.asarray(
        ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    )


def picture():
    return Image.fromarray(np.array([SAMPLES], np.uint8))


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
@pytest.mark.parametrize(("primaries", "gamma"), [(ADOBE, 2.2), (PROPHOTO, 1.8)])
def test_a_wide_gamut_is_converted(primaries, gamma, suffix, tmp_path):
    data = screen(primaries, gamma)
    lossless = {"lossless": True} if suffix == "webp" else {}
    picture().save(tmp_path / f"a.{suffix}", icc_profile=data, **lossless)
    loaded = load_image(tmp_path / f"a.{suffix}")
    assert np.array_equal(pixels(loaded), littlecms(picture(), data))
    assert not np.array_equal(pixels(loaded), np.asarray(picture()))
    assert not loaded.caveats


def test_a_red_that_was_stored_in_a_wide_gamut_is_red_again(tmp_path):
    """sRGB (220, 30, 30) → XYZ → ProPhoto by the matrices' own numbers, then read back."""
    share = np.array((220, 30, 30)) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    srgb = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061],
                     [0.01392, 0.09708, 0.71410]])  # fmt: skip
    wide = np.linalg.inv(np.array(PROPHOTO).T) @ (srgb @ linear)
    stored = np.rint(255 * wide ** (1 / 1.8)).astype(np.uint8)
    Image.fromarray(stored[None, None]).save(tmp_path / "a.png", icc_profile=screen(PROPHOTO, 1.8))
    assert np.allclose(
        load_image(tmp_path / "a.png").frames[0].getpixel((0, 0)), (220, 30, 30), atol=4
    )


def test_a_profile_that_says_srgb_changes_nothing(tmp_path):
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    for image in (noise, noise.convert("L")):
        image.save(tmp_path / "a.png", icc_profile=data)
        loaded = load_image(tmp_path / "a.png")
        assert np.array_equal(pixels(loaded), np.asarray(image.convert("RGB")))
        assert not loaded.caveats


def test_grey_has_profiles_of_its_own(tmp_path):
    data = profile(b"GRAY", {b"kTRC": curve(1.0)})
    image = Image.fromarray(np.array([[0, 10, 128, 255]], np.uint8))
    image.save(tmp_path / "a.png", icc_profile=data)
    found = pixels(load_image(tmp_path / "a.png"))
    assert np.array_equal(found, littlecms(image, data))
    assert found[0, 2, 0] == 188  # half the light


def test_transparency_is_laid_over_white_after_the_conversion(tmp_path):
    image = picture().convert("RGBA")
    image.putalpha(100)
    data = screen(ADOBE, 2.2)
    image.save(tmp_path / "a.png", icc_profile=data)
    expected = littlecms(picture(), data) * (100 / 255) + 255 - 100
    assert np.abs(pixels(load_image(tmp_path / "a.png")) - expected).max() <= 1


def test_many_bits_and_a_profile(tmp_path):
    from tests.media.support import packed, write_tiff

    data = screen(ADOBE, 2.2)
    values = np.array([SAMPLES], int) * 257
    path = write_tiff(tmp_path / "a.tif", (6, 1), [packed(values, 16)], ">",
                      t258=(16,) * 3, t262=2, t277=3, t34675=data)  # fmt: skip
    assert np.array_equal(pixels(load_image(path)), littlecms(picture(), data))


def ink_profile():
    """A profile for four inks: its table is that of Pillow's own simple formula, darkened."""
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij")).reshape(4, -1).T
    light = (1 - corners[:, 3]) * (1 - corners[:, :3].mean(axis=1)) * 80  # L*, no colour at all
    lab = np.stack([light / 100 * 65280, np.full(16, 32768.0), np.full(16, 32768.0)], axis=1)
    table = np.rint(lab).astype(">u2").tobytes()
    line = struct.pack(">HH", 0, 65535)
    lut = (b"mft2\0\0\0\0" + bytes((4, 3, 2, 0)) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
           + struct.pack(">HH", 2, 2) + line * 4 + table + line * 3)  # fmt: skip
    data = bytearray(profile(b"CMYK", {b"A2B0": lut}))
    data[12:24] = b"prtrCMYKLab "
    return bytes(data)


@pytest.mark.parametrize("suffix", ["tiff", "jpg"])
def test_ink_is_converted_by_its_profile(suffix, tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8, :, 0], ink[8:, :, 3] = 200, 128
    image, data = Image.frombytes("CMYK", (16, 16), ink.tobytes()), ink_profile()
    extra = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    image.save(tmp_path / f"a.{suffix}", icc_profile=data, **extra)
    loaded = load_image(tmp_path / f"a.{suffix}")
    assert not loaded.caveats
    assert np.abs(pixels(loaded).astype(int) - littlecms(image, data)).max() <= 3
    assert loaded.frames[0].getpixel((8, 2)) != image.convert("RGB").getpixel((8, 2))


@pytest.mark.parametrize("marked", [True, False])
def test_ink_in_jpeg_is_inverted_as_adobes_programs_write_it(marked, tmp_path):
    """FFmpeg and Pillow read it so without Adobe's marker too."""
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8, :, 1], ink[:8, :, 2], ink[8:, :, 3] = 200, 200, 255  # red over black
    path = tmp_path / "a.jpg"
    Image.frombytes("CMYK", (16, 16), ink.tobytes()).save(path, quality=100, subsampling=0)
    content = path.read_bytes()
    at = content.find(b"\xff\xee")
    assert at > 0  # Pillow writes the marker, and inverts
    if not marked:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        path.write_bytes(content[:at] + content[at + 2 + length :])
    frame = load_image(path).frames[0]
    assert np.allclose(frame.getpixel((8, 3)), (255, 55, 55), atol=4)
    assert np.allclose(frame.getpixel((8, 12)), (0, 0, 0), atol=4)


@pytest.mark.parametrize("broken", ["text", "cut", "space"])
def test_a_broken_profile_is_left_out_and_said(broken, tmp_path):
    data = screen(ADOBE, 2.2)
    data = {"text": b"no profile" * 30, "cut": data[:200], "space": ink_profile()}[broken]
    picture().save(tmp_path / "a.png", icc_profile=data)
    loaded = load_image(tmp_path / "a.png")
    assert codes(loaded) == ["image_profile_ignored"]
    assert np.array_equal(pixels(loaded), np.asarray(picture()))
