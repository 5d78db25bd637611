"""From a decoded frame to a picture: turned, mirrored, laid over white, with all its bits."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest
from PIL import Image

from tests.media.support import HEIGHT, WIDTH, codes, flat_frame, pixels, write_frames, write_video
from v2drop_cli.media import load_image, load_video, streams

# What a display matrix (a, b, c, d) says → where it puts the stored picture's top left quarter,
# and whether the way round goes on clockwise from there (it does not in a mirror).
MATRICES = {
    (1, 0, 0, 1): ("left top", True),
    (0, 1, -1, 0): ("right top", True),
    (-1, 0, 0, -1): ("right bottom", True),
    (0, -1, 1, 0): ("left bottom", True),
    (-1, 0, 0, 1): ("right top", False),
    (1, 0, 0, -1): ("left bottom", False),
    (0, 1, 1, 0): ("left top", False),
    (0, -1, -1, 0): ("right bottom", False),
}
CORNERS = ("left top", "right top", "right bottom", "left bottom")


def quarters(path, matrix):
    """Quarters of grey 250, 170, 90, 10, clockwise from the top left; shown through ``matrix``."""
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    halves = (slice(None, HEIGHT // 2), slice(HEIGHT // 2, None))
    left, right = slice(None, WIDTH // 2), slice(WIDTH // 2, None)
    grey[halves[0], left], grey[halves[0], right] = 250, 170
    grey[halves[1], right], grey[halves[1], left] = 90, 10
    frames = [av.VideoFrame.from_ndarray(np.dstack([grey] * 3), format="rgb24") for _ in range(2)]
    write_frames(path, [frame.reformat(format="yuv420p") for frame in frames], "mpeg4", "yuv420p")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # the matrix of a version 0 track header
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("matrix", MATRICES)
def test_all_eight_orientations_of_a_display_matrix_are_applied(matrix, tmp_path):
    loaded = load_video(quarters(tmp_path / "a.mp4", matrix), 2)
    wide = matrix[0] != 0
    assert (loaded.width, loaded.height) == ((WIDTH, HEIGHT) if wide else (HEIGHT, WIDTH))
    for frame in loaded.frames:
        assert frame.size == (loaded.width, loaded.height)
        right, bottom = frame.width - 8, frame.height - 8
        places = dict(zip(CORNERS, ((8, 8), (right, 8), (right, bottom), (8, bottom)), strict=True))
        first, clockwise = MATRICES[matrix]
        start = CORNERS.index(first)
        order = [CORNERS[(start + (k if clockwise else -k)) % 4] for k in range(4)]
        found = [frame.getpixel(places[corner])[0] for corner in order]
        assert np.allclose(found, (250, 170, 90, 10), atol=6)


def test_side_data_newer_than_pyav_leaves_the_frame_as_it_is(tmp_path, monkeypatch):
    from v2drop_cli.media import frames

    class Newer:
        @property
        def side_data(self):
            raise ValueError("99 is not a valid Type")

    assert frames._orientation(Newer()) == (1, 0, 0, 1)


# Limited-range YUV of colour (200, 60, 90) at opacity 0, 100 and 255, and that over white.
OPACITIES = {0: (255, 255, 255), 100: (233, 179, 190), 255: (200, 60, 90)}


def clear_frames(pix_fmt):
    """The upper half of opacity 100, a quarter of 0, a quarter of 255."""
    rgba = np.empty((HEIGHT, WIDTH, 4), np.uint8)
    rgba[...] = (200, 60, 90, 100)
    rgba[HEIGHT // 2 :, : WIDTH // 2, 3], rgba[HEIGHT // 2 :, WIDTH // 2 :, 3] = 0, 255
    frame = av.VideoFrame.from_ndarray(rgba, format="rgba")
    return [frame.reformat(format=pix_fmt) for _ in range(2)]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("a.webm", "libvpx", "yuva420p"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mov", "qtrle", "argb"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.apng", "apng", "rgba"),
    ],
)
def test_transparent_video_is_laid_over_white(name, codec, pix_fmt, tmp_path):
    webm = {"tags": {"alpha_mode": "1"}, "options": {"auto-alt-ref": "0"}}
    extra = webm if name.endswith("webm") else {}
    path = write_frames(tmp_path / name, clear_frames(pix_fmt), codec, pix_fmt, **extra)
    loaded = load_video(path, 2)
    assert not loaded.caveats
    for frame in loaded.frames:
        found = [frame.getpixel(at) for at in ((16, 40), (32, 12), (48, 40))]
        assert np.allclose(found, list(OPACITIES.values()), atol=6)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_an_animation_with_holes_is_the_same_as_image_and_as_video(suffix, tmp_path):
    frames = [Image.new("RGBA", (16, 16), (0, 0, 0, 0)) for _ in range(2)]
    for step, frame in enumerate(frames):
        frame.paste((0, 0, 0, 255), (0, 0, 8, 4 + 4 * step))
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, disposal=2)
    moving = load_video(path, 2)
    assert np.array_equal(pixels(moving), pixels(load_image(path)))
    assert [frame.getpixel((4, 6)) for frame in moving.frames] == [(255,) * 3, (0,) * 3]


def test_transparency_that_this_build_cannot_read_is_said(tmp_path, monkeypatch):
    frames = clear_frames("yuva420p")
    tags = {"alpha_mode": "1"}
    path = write_frames(tmp_path / "a.webm", frames, "libvpx-vp9", "yuva420p", tags=tags)
    monkeypatch.setattr(streams, "_WITH_ALPHA", {"vp9": "no-such-decoder"})
    loaded = load_video(path, 2)
    assert codes(loaded) == ["video_alpha_ignored"]
    assert np.allclose(loaded.frames[0].getpixel((48, 40)), OPACITIES[255], atol=6)


KR_KB = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # by H.273 matrix


def rgb_of(y, u, v, matrix, full, bits):
    """R'G'B' of a YUV sample by the definition of the matrix, 0 to 255."""
    kr, kb = KR_KB[matrix]
    scale = 2 ** (bits - 8)
    if full:
        luma, blue, red = (y / (256 * scale - 1), *((c - 128 * scale) / (256 * scale - 1)
                                                    for c in (u, v)))  # fmt: skip
    else:
        luma, blue, red = (y / scale - 16) / 219, (u / scale - 128) / 224, (v / scale - 128) / 224
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    return [255 * r, 255 * (luma - kr * r - kb * b) / (1 - kr - kb), 255 * b]


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("matrix", KR_KB)
def test_the_files_matrix_and_range_make_its_colours(matrix, color_range, bits, tmp_path):
    values = [value << (bits - 8) for value in (120, 100, 150)]
    pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
    frames = [flat_frame(pix_fmt, values) for _ in range(2)]
    for frame in frames:
        frame.colorspace, frame.color_range = matrix, color_range
    path = write_frames(
        tmp_path / "a.mkv", frames, "ffv1", pix_fmt, colorspace=matrix, color_range=color_range
    )
    expected = rgb_of(*values, matrix, color_range == 2, bits)
    assert np.allclose(load_video(path, 1).frames[0].getpixel((30, 20)), expected, atol=2)


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p10le", "yuv420p12le"])
def test_white_of_ten_bits_is_white(pix_fmt, tmp_path):
    bits = 12 if "12" in pix_fmt else 10
    values = [level << (bits - 8) for level in (235, 128, 128)]
    path = write_frames(tmp_path / "a.mkv", [flat_frame(pix_fmt, values)], "ffv1", pix_fmt,
                        color_range=1)  # fmt: skip
    assert load_video(path, 1).frames[0].getpixel((30, 20)) == (255, 255, 255)


def test_ordinary_files_have_no_caveat_for_it(tmp_path):
    assert not load_video(write_video(tmp_path / "a.mp4"), 4).caveats
