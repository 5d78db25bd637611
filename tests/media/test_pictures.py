"""Media files as they come: every odd image mode, every way a file can be broken."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from tests.media.support import HEIGHT, WIDTH, codes, cut, png_chunk, refusal
from v2drop_cli.media import decode_again, limits, load_image, load_video, pictures

SAMPLES = Path(__file__).parents[2] / "sample_media"


def gradient(mode="RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("RGB", "bmp"), ("RGB", "webp"), ("RGB", "tiff"), ("L", "png"), ("1", "png"),
     ("P", "png"), ("P", "gif"), ("CMYK", "tiff"), ("RGBA", "png"), ("LA", "png"), ("LAB", "tiff")],
)  # fmt: skip
def test_every_mode_becomes_rgb(mode, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    source = gradient() if mode == "LAB" else gradient(mode)
    source.save(path, **({"lossless": True} if suffix == "webp" else {}))
    loaded = load_image(path)
    (frame,) = loaded.frames
    assert (loaded.kind, frame.mode, loaded.frame_times_s) == ("image", "RGB", None)
    assert (loaded.width, loaded.height) == frame.size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.asarray(frame), np.asarray(source.convert("RGB")))
    assert (loaded.record.frames, loaded.record.path) == (1, str(path))


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    Image.new("RGB", (16, 16), (200, 30, 30)).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    pixel = load_image(tmp_path / "a.jpg").frames[0].getpixel((8, 8))
    assert np.allclose(pixel, (200, 30, 30), atol=6)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(mode, tmp_path):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    (image.quantize(4) if mode == "P" else image.convert(mode)).save(tmp_path / "a.png")
    frame = load_image(tmp_path / "a.png").frames[0]
    assert (frame.getpixel((1, 1)), frame.getpixel((6, 1))) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_16_bit_grey_is_scaled_not_clipped(suffix, tmp_path):
    values = np.array([[0, 257, 25700, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    loaded = load_image(tmp_path / f"a.{suffix}")
    assert np.asarray(loaded.frames[0])[0, :, 0].tolist() == [0, 1, 100, 128, 255]
    assert not loaded.caveats


@pytest.mark.parametrize(
    ("values", "expected", "caveats"),
    [(np.float32([[0, 0.5, 1]]), [0, 128, 255], []),
     (np.float32([[-1, 0, np.nan, 3]]), [0, 64, 0, 255], ["image_range_stretched"]),
     (np.int32([[-100, 0, 100]]), [0, 128, 255], ["image_range_stretched"]),
     (np.float32([[7, 7]]), [0, 0], ["image_range_stretched"])],
)  # fmt: skip
def test_32_bit_pictures_are_scaled(values, expected, caveats, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    loaded = load_image(tmp_path / "a.tiff")
    assert np.asarray(loaded.frames[0])[0, :, 0].tolist() == expected
    assert codes(loaded) == caveats


def test_a_picture_of_nan_only_is_refused(tmp_path):
    Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)).save(tmp_path / "a.tiff")
    assert "no finite" in refusal(load_image, tmp_path / "a.tiff").message


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, suffix, tmp_path):
    upright = Image.new("RGB", (32, 16), "black")
    upright.paste("white", (0, 0, 16, 8))
    undo = {6: "ROTATE_90", 8: "ROTATE_270"}.get(orientation, pictures.UPRIGHT.get(orientation))
    stored = upright.transpose(Image.Transpose[undo]) if undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif)
    frame = load_image(tmp_path / f"a.{suffix}").frames[0]
    assert frame.size == (32, 16)
    corners = [frame.getpixel(at)[0] > 128 for at in ((2, 2), (29, 2), (2, 13), (29, 13))]
    assert corners == [True, False, False, False]


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame_and_a_caveat(suffix, tmp_path):
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "lime", "blue")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    loaded = load_image(path)
    assert codes(loaded) == ["animated_first_frame"]
    assert "3 pictures" in loaded.caveats[0].message
    assert np.allclose(loaded.frames[0].getpixel((8, 8)), (255, 0, 0), atol=6)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tiff", "ppm"])
def test_a_truncated_image_is_refused(suffix, share, tmp_path):
    gradient().save(tmp_path / f"a.{suffix}")
    refusal(load_image, cut(tmp_path / f"a.{suffix}", share))


@pytest.mark.parametrize(
    "content", [b"just text\n" * 50, b"%PDF-1.7\n%...", bytes(range(256)) * 20]
)
def test_what_is_no_image_is_refused(content, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert "not an image" in refusal(load_image, path).message


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "a.eps"
    gradient().save(path)
    assert "PostScript" in refusal(load_image, path).message


def bomb(path: Path, side: int) -> Path:
    """A PNG whose header promises side x side pixels; almost no data follows."""

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b""))
    return path


@pytest.mark.parametrize("side", [13_400, 20_000])  # just above the limit, and far above
def test_a_decompression_bomb_is_refused_from_its_header(side, tmp_path):
    error = refusal(load_image, bomb(tmp_path / "a.png", side))
    assert "too large" in error.message
    assert "178 million" in error.hint


def test_the_bomb_limits_are_ours_and_pillows(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    gradient().save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT * 2 // 3)
    assert not load_image(path).caveats  # Pillow would warn here, and warnings are errors
    monkeypatch.setattr(limits, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    assert f"{WIDTH} x {HEIGHT}" in refusal(load_image, path).message


def test_what_pillow_says_of_a_file_becomes_a_caveat(tmp_path, monkeypatch):
    def odd(self, *args):
        import warnings

        warnings.warn("odd\n tag", UserWarning, stacklevel=1)
        return TiffImagePlugin.ImageFile.ImageFile.load(self)

    gradient().save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", odd)
    (caveat,) = load_image(tmp_path / "a.png").caveats
    assert (caveat.code, caveat.message) == ("image_quirk", "a.png: odd tag")


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_the_sample_media_load(path):
    if path.suffix in {".jpg", ".png"}:
        assert not load_image(path).caveats
    elif path.suffix == ".mp4":
        loaded = load_video(path, 8)
        assert (len(loaded.frames), loaded.caveats) == (8, ())


def test_a_file_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "a.png"
    gradient().save(path)
    loaded = load_image(path)
    assert loaded.sha256 == loaded.record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    clip = load_video(SAMPLES / "clip.mp4", 2)
    assert clip.sha256 == hashlib.sha256((SAMPLES / "clip.mp4").read_bytes()).hexdigest()


def test_decoding_again_gives_the_same_pictures_without_reading_for_a_digest(tmp_path):
    gradient().save(tmp_path / "a.png")
    for loaded in (load_image(tmp_path / "a.png"), load_video(SAMPLES / "clip.mp4", 3)):
        again = decode_again(loaded)
        assert again.sha256 is None
        assert again.frame_times_s == loaded.frame_times_s
        assert all(
            np.array_equal(one, two) for one, two in zip(again.frames, loaded.frames, strict=True)
        )


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_what_cannot_be_decoded_whole_is_not_called_damaged(suffix, tmp_path):
    gradient().save(tmp_path / f"a.{suffix}")
    error = refusal(load_image, cut(tmp_path / f"a.{suffix}", 0.6))
    assert "damaged" not in error.message
    assert "PNG" in error.hint


def test_too_little_memory_is_said_as_that(tmp_path, monkeypatch):
    gradient().save(tmp_path / "a.png")
    monkeypatch.setattr(pictures, "to_srgb", lambda *_: (_ for _ in ()).throw(MemoryError))
    assert "not enough memory" in refusal(load_image, tmp_path / "a.png").message
