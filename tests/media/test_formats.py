"""What a file is inside, whatever its name says, and what is said of it."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.media.support import HEIGHT, WIDTH, codes, refusal, write_video
from v2drop_cli.media import load_image, load_video


def box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">L4s", 8 + len(data), kind) + data


def heif(major: bytes, *others: bytes) -> bytes:
    """A still picture's first boxes; what follows does not matter, for nobody here reads it."""
    brands = box(b"ftyp", major, bytes(4), major, *others)
    return brands + box(b"meta", bytes(4), box(b"hdlr", bytes(8), b"pict", bytes(13))) + bytes(200)


HEIC = [
    (b"heic", b"mif1"),
    (b"heix",),
    (b"hevc",),
    (b"mif1", b"heic"),
    (b"msf1", b"hevc"),
    (b"mif1",),
]


@pytest.mark.parametrize("name", ["IMG_0001.jpg", "a.heic", "a.mp4"])
@pytest.mark.parametrize("brands", HEIC, ids=lambda brands: b"-".join(brands).decode())
def test_heic_is_called_that_under_any_name(brands, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(heif(*brands))
    kind = "HEIC" if set(brands) & {b"heic", b"heix", b"hevc"} else "HEIF"
    error = refusal(load_image, path)
    assert kind in error.message
    assert "convert it to JPEG or PNG" in error.hint
    error = refusal(lambda given: load_video(given, 4), path)
    assert kind in error.message
    assert "convert" in error.hint


@pytest.mark.parametrize("known", [True, False])
def test_avif_is_an_image_as_far_as_this_pillow_reads_it(known, tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(heif(b"avif", b"mif1"))
    monkeypatch.setattr(Image, "registered_extensions", lambda: {".avif": "AVIF"} if known else {})
    error = refusal(lambda given: load_video(given, 4), path)
    assert "AVIF" in error.message
    assert ("convert" in error.hint) is not known
    assert "AVIF inside" in refusal(load_image, path).message  # no picture follows its header


def test_a_real_video_is_no_heic(tmp_path):
    path = write_video(tmp_path / "IMG_0001.jpg.mp4")
    assert "--video" in refusal(load_image, path.rename(tmp_path / "IMG_0001.jpg")).hint


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(90), "JPEG XL"),
        (b"%PDF-1.7\n" + bytes(90), "PDF"),
        (b"<?xml version='1.0'?>\n<!-- a -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xff\xd8\xff\xc3" + bytes(90), "JPEG"),
        (b"II\x2a\0\x08\0\0\0\0\0" + bytes(90), "TIFF"),
    ],
)
def test_what_pillow_cannot_read_is_named_by_its_bytes(content, kind, tmp_path):
    (tmp_path / "a.png").write_bytes(content)
    error = refusal(load_image, tmp_path / "a.png")
    assert f"{kind} inside" in error.message
    assert "damaged" not in error.message


def jpeg(level, **options) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (level,) * 3).save(data, "jpeg", **options)
    return data.getvalue()


BOUNDARY = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n"


@pytest.mark.parametrize("between", [b"", b"\0\0\0", b"\r\n", b"\r\n" + BOUNDARY])
def test_bare_motion_jpeg_is_a_video_with_estimated_times(between, tmp_path):
    path = tmp_path / "a.mjpeg"
    path.write_bytes(between.join(jpeg(10 * index) for index in range(20)))
    loaded = load_video(path, 4)
    assert codes(loaded) == ["video_times_estimated"]
    assert [round(frame.getpixel((9, 9))[0] / 10) for frame in loaded.frames] == [2, 7, 12, 17]
    assert loaded.frame_times_s == pytest.approx([index / 25 for index in (2, 7, 12, 17)])


@pytest.mark.parametrize("count", [2, 30])
def test_bare_motion_jpeg_as_image_is_its_first_picture(count, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"".join(jpeg(200 - index) for index in range(count)))
    loaded = load_image(tmp_path / "a.jpg")
    assert codes(loaded) == ["animated_first_frame"]
    assert loaded.frames[0].getpixel((9, 9)) == (200, 200, 200)


def photographs(tmp_path):
    """JPEG files that hold more than a picture, and are one picture all the same."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x927C] = jpeg(9)  # a preview in the maker's note
    restarts = jpeg(100, restart_marker_blocks=1)
    image = Image.new("RGB", (WIDTH, HEIGHT), (100,) * 3)
    image.save(tmp_path / "lens.jpg", "MPO", save_all=True, append_images=[image])
    return {
        "exif": jpeg(100, exif=exif),
        "progressive": jpeg(100, progressive=True),
        "restarts": restarts,
        "tail": jpeg(100) + b"SEFT" + bytes(100) + jpeg(7),
        "motion photo": jpeg(100) + heif(b"isom"),
        "lenses": (tmp_path / "lens.jpg").read_bytes(),
        "plain": jpeg(100),
    }


@pytest.mark.parametrize(
    "kind", ["exif", "progressive", "restarts", "tail", "motion photo", "lenses", "plain"]
)
def test_a_photograph_is_no_motion_jpeg(kind, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(photographs(tmp_path)[kind])
    loaded = load_image(path)
    assert not loaded.caveats
    assert np.allclose(loaded.frames[0].getpixel((9, 9)), 100, atol=1)
    assert "--image" in refusal(lambda given: load_video(given, 4), path).hint
