"""Media files as they come: every odd image mode, every way a file can be broken."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from v2drop_cli import _video, media
from v2drop_cli.errors import MediaArgumentError, MediaError
from v2drop_cli.media import check_media_path, load_image, load_video, sample_indices

SAMPLES = Path(__file__).parents[1] / "sample_media"
LOADERS = [load_image, lambda path: load_video(path, 4)]
WIDTH, HEIGHT = 64, 48


def codes(loaded: media.Media) -> list[str]:
    return [caveat.code for caveat in loaded.caveats]


def refusal(load, path, error=MediaError):
    """The error of ``load(path)``, checked to be one line with a hint."""
    with pytest.raises(error) as caught:
        load(path)
    for line in (caught.value.message, caught.value.hint):
        assert line
        assert "\n" not in line
    return caught.value


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
            pixels = np.full((size[1], size[0], 3), 10 * index, dtype=np.uint8)
            pixels[: size[1] // 2, : size[0] // 2] = 255
            if "noise" in kw:  # so that frames, not headers, make up the file
                pixels = np.random.default_rng(index).integers(0, 256, pixels.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.time_base, frame.pts = stream.codec_context.time_base, stamp
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grey_levels(loaded: media.Media) -> list[int]:
    return [round(frame.getpixel((frame.width - 8, frame.height - 8))[0] / 10)
            for frame in loaded.frames]  # fmt: skip


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    target = path.with_name(f"cut_{path.name}")
    target.write_bytes(content[: int(len(content) * share)])
    return target


def gradient(mode="RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


# --- paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize("check", [check_media_path, *LOADERS])
def test_paths_that_name_no_file_are_usage_errors(check, tmp_path):
    (tmp_path / "street.mp4").write_bytes(b"x")
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    wrong = {
        tmp_path / "stret.mp4": "did you mean street.mp4?",
        tmp_path / "nowhere" / "a.png": "there is no directory",
        tmp_path / "zzz": "looked in",
        tmp_path / "street.mp4" / "a.png": "there is no directory",
        "https://example.org/a.png": "download it first",
        tmp_path: "inside it",
        "": "inside it",
        fifo: "save the stream",
        "a\0b": "check the name",
    }
    for path, hint in wrong.items():
        error = refusal(check, path, MediaArgumentError)
        assert error.exit_code == 2
        assert hint in error.hint


def test_a_file_that_may_not_be_read_is_a_usage_error(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert check_media_path(str(path)) == path

    def refuse(*args, **kwargs):  # root may read everything: chmod would not do here
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "Permission denied" in refusal(check_media_path, path, MediaArgumentError).message


@pytest.mark.parametrize("check", [check_media_path, *LOADERS])
def test_an_empty_file_is_a_media_error(check, tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    assert "empty" in refusal(check, path).message


def test_importing_media_loads_no_decoder():
    code = "import sys, v2drop_cli.media; print({'av', 'PIL', 'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- images ----------------------------------------------------------------------------------


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
    undo = {6: "ROTATE_90", 8: "ROTATE_270"}.get(orientation, media._UPRIGHT.get(orientation))
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

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b""))
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
    monkeypatch.setattr(media, "MAX_PIXELS", WIDTH * HEIGHT - 1)
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


# --- sampling --------------------------------------------------------------------------------


@given(total=st.integers(0, 100_000), n=st.integers(1, 300))
def test_samples_are_sorted_unique_in_range_and_evenly_spread(total, n):
    indices = sample_indices(total, n)
    assert len(indices) == min(total, n)
    assert all(0 <= index < total for index in indices)
    gaps = [after - before for before, after in itertools.pairwise(indices)]
    assert all(gap >= 1 for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1
    if indices:  # the rest at both ends is the same, to a frame
        assert abs(indices[0] - (total - 1 - indices[-1])) <= 1


# --- videos ----------------------------------------------------------------------------------

CONTAINERS = {"a.mp4": "libx264", "a.mkv": "libx264", "a.webm": "libvpx-vp9", "a.ts": "libx264"}


@pytest.mark.parametrize(("name", "codec"), CONTAINERS.items())
def test_frames_and_times_agree_in_every_container(name, codec, tmp_path):
    loaded = load_video(write_video(tmp_path / name, codec=codec), 4)
    assert grey_levels(loaded) == [2, 7, 12, 17]
    assert loaded.frame_times_s == pytest.approx((0.2, 0.7, 1.2, 1.7), abs=1e-3)
    assert (loaded.kind, loaded.width, loaded.height) == ("video", WIDTH, HEIGHT)
    assert {frame.mode for frame in loaded.frames} == {"RGB"}
    assert not loaded.caveats
    assert loaded.record.frame_times_s == loaded.frame_times_s


def test_uneven_frame_times_and_b_frames_keep_their_true_times(tmp_path):
    stamps = [5 * i * i for i in range(20)]
    path = write_video(tmp_path / "a.mp4", stamps, options={"bf": "3"})
    loaded = load_video(path, 5)
    assert grey_levels(loaded) == [2, 6, 10, 14, 18]
    assert loaded.frame_times_s == pytest.approx([5 * i * i / 1000 for i in (2, 6, 10, 14, 18)])


def test_times_count_from_the_start_of_the_stream(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.mkv", range(5000, 7000, 100)), 4)
    assert loaded.frame_times_s == pytest.approx((0.2, 0.7, 1.2, 1.7), abs=1e-3)
    assert not loaded.caveats


def test_missing_times_are_estimated_and_said(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.h264"), 4)  # a bare stream has no stamps
    assert codes(loaded) == ["video_times_estimated"]
    assert loaded.frame_times_s == pytest.approx([i / 25 for i in (2, 7, 12, 17)])


def test_a_short_video_gives_each_frame_once(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.mp4", range(0, 300, 100)), 8)
    assert grey_levels(loaded) == [0, 1, 2]
    assert codes(loaded) == ["video_fewer_frames"]


ROTATIONS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}  # clockwise, a b c d


@pytest.mark.parametrize("clockwise", ROTATIONS)
def test_rotation_metadata_is_applied(clockwise, tmp_path):
    path = write_video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of a version 0 track header
    a, b, c, d = (value << 16 for value in ROTATIONS[clockwise])
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    loaded = load_video(path, 2)
    (frame, _) = loaded.frames
    assert frame.size == (loaded.width, loaded.height)
    assert frame.size == ((WIDTH, HEIGHT) if clockwise == 180 else (HEIGHT, WIDTH))
    right, bottom = frame.width - 4, frame.height - 4
    white = {90: (right, 4), 180: (right, bottom), 270: (4, bottom)}[clockwise]
    bright = {at for at in ((4, 4), (right, 4), (4, bottom), (right, bottom))
              if frame.getpixel(at)[0] > 200}  # fmt: skip
    assert bright == {white}


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_broken_tail_leaves_what_decodes(name, tmp_path):
    faststart = {"movflags": "+faststart"} if name == "a.mp4" else {}
    path = write_video(tmp_path / name, range(0, 4000, 200), container=faststart, noise=True)
    loaded = load_video(cut(path, 0.6), 4)
    assert "video_broken_tail" in codes(loaded)
    assert len(loaded.frames) == 4
    assert 1.5 < max(loaded.frame_times_s) < 2.5


def test_damage_in_the_middle_leaves_the_rest(tmp_path):
    path = write_video(tmp_path / "a.mp4", options={"g": "1"})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    for position, size in packets[8:10]:
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    loaded = load_video(path, 18)
    assert codes(loaded) == ["video_frames_skipped"]
    assert grey_levels(loaded) == [*range(8), *range(10, 20)]


def test_a_tag_that_is_not_utf8_is_no_obstacle(tmp_path):
    path = write_video(tmp_path / "a.mkv", tags={"title": "Strasse"})
    path.write_bytes(path.read_bytes().replace(b"Strasse", b"Stra\xdfe\xff"))
    assert len(load_video(path, 4).frames) == 4


def test_a_frame_size_that_changes_is_scaled_to_the_first(tmp_path):
    first, second = (
        write_video(tmp_path / "a.h264"),
        write_video(tmp_path / "b.h264", size=(96, 80)),
    )
    (tmp_path / "c.h264").write_bytes(first.read_bytes() + second.read_bytes())
    assert {frame.size for frame in load_video(tmp_path / "c.h264", 8).frames} == {(WIDTH, HEIGHT)}


def test_an_oversized_video_frame_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr(_video, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    assert "too large" in refusal(LOADERS[1], path).message


def test_no_video_in_it(tmp_path):
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "notes.mp4").write_text("just text\n" * 50)
    (tmp_path / "notes.txt").write_text("FFmpeg would type this out as a video\n" * 50)
    moov_less = cut(write_video(tmp_path / "a.mp4"), 0.5)
    assert refusal(LOADERS[1], tmp_path / "sound.mp4").hint == "it holds only audio"
    assert "not a video" in refusal(LOADERS[1], tmp_path / "notes.mp4").message
    assert "no video stream" in refusal(LOADERS[1], tmp_path / "notes.txt").message
    assert "cut short" in refusal(LOADERS[1], moov_less).hint


def test_no_frame_that_decodes(tmp_path):
    path = write_video(tmp_path / "a.mp4", container={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 4])
    assert "no frame" in refusal(LOADERS[1], path).message


@pytest.mark.parametrize("n_frames", [0, -3])
def test_fewer_than_one_frame_is_a_usage_error(n_frames, tmp_path):
    refusal(lambda path: load_video(path, n_frames), tmp_path, MediaArgumentError)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "avif"])
def test_an_image_given_as_video_is_told_so(suffix, tmp_path):
    gradient().save(tmp_path / f"a.{suffix}")
    assert "--image" in refusal(LOADERS[1], tmp_path / f"a.{suffix}").hint


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.png"])
def test_a_video_given_as_image_is_told_so(name, tmp_path):
    path = write_video(tmp_path / "a.mkv" if name.endswith("mkv") else tmp_path / "a.mp4")
    assert "--video" in refusal(load_image, path.rename(tmp_path / name)).hint


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_the_sample_media_load(path):
    if path.suffix in {".jpg", ".png"}:
        assert not load_image(path).caveats
    elif path.suffix == ".mp4":
        loaded = load_video(path, 8)
        assert (len(loaded.frames), loaded.caveats) == (8, ())
