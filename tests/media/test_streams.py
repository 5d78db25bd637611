"""Which stream of a file is the video, and what clocks and edit lists do to its times."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.media.support import codes, grey_levels, refusal, write_video
from v2drop_cli.media import load_video, streams


def level(loaded):
    return round(loaded.frames[0].getpixel((4, 4))[0] / 10)


def write_streams(path, *streams):
    """Each stream is (grey level in tens, size, frames, disposition, codec)."""
    with av.open(str(path), "w") as container:
        made = []
        for _, size, _, flags, codec in streams:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.time_base = Fraction(1, 10)
            stream.disposition = flags.value
            made.append(stream)
        packets = []
        for stream, (grey, size, frames, _, _) in zip(made, streams, strict=True):
            for index in range(frames):
                pixels = np.full((size[1], size[0], 3), 10 * grey, np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame = frame.reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 10)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


SMALL, LARGE = (32, 32), (64, 48)
NONE, DEFAULT = Disposition(0), Disposition.default
STILL = Disposition.attached_pic
CHOICES = {
    "a moving one before a single frame": ((5, LARGE, 1, DEFAULT), (9, SMALL, 8, NONE), 9),
    "the default one": ((5, LARGE, 8, NONE), (9, SMALL, 8, DEFAULT), 9),
    "of two defaults the larger": ((5, SMALL, 8, DEFAULT), (9, LARGE, 8, DEFAULT), 9),
    "of two alike the first": ((5, SMALL, 8, DEFAULT), (9, SMALL, 8, DEFAULT), 5),
    "of two alike the longer": ((5, SMALL, 8, DEFAULT), (9, SMALL, 12, DEFAULT), 9),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_the_stream_that_people_watch_is_read(choice, tmp_path):
    first, second, expected = CHOICES[choice]
    path = write_streams(tmp_path / "a.mkv", (*first, "mpeg4"), (*second, "mpeg4"))
    loaded = load_video(path, 4)
    assert level(loaded) == expected
    both = first[2] > 1
    assert codes(loaded) == (["video_stream_chosen"] if both else [])
    assert not both or "2 videos" in loaded.caveats[0].message


def test_a_cover_picture_before_the_video_is_no_video(tmp_path):
    path = write_streams(
        tmp_path / "a.mp4", (5, LARGE, 1, STILL, "mjpeg"), (9, SMALL, 8, DEFAULT, "mpeg4")
    )
    loaded = load_video(path, 4)
    assert (level(loaded), codes(loaded)) == (9, [])


def test_streams_beside_the_video_are_no_video(tmp_path, monkeypatch):
    for name in ("attached_pic", "timed_thumbnails", "still_image", "dependent"):
        assert getattr(Disposition, name) & streams._aside()
    path = write_streams(
        tmp_path / "a.mkv", (5, LARGE, 8, DEFAULT, "mpeg4"), (9, SMALL, 8, NONE, "mpeg4")
    )
    # No muxer here writes those flags for a moving stream: one that it writes stands for them.
    monkeypatch.setattr(streams, "_ASIDE", ("default",))
    loaded = load_video(path, 4)
    assert (level(loaded), codes(loaded)) == (9, [])


def test_only_a_cover_picture_is_refused(tmp_path):
    path = write_streams(tmp_path / "a.mp4", (5, LARGE, 1, STILL, "mjpeg"))
    assert "no video stream" in refusal(lambda given: load_video(given, 4), path).message


def edited(path, skip_s, last_s):
    """Let the file's edit list begin at ``skip_s`` and end at ``last_s``."""
    content = bytearray(path.read_bytes())
    movie = content.index(b"mvhd") + 4 + 12  # version and times, then the clock's rate
    track = content.index(b"mdhd") + 4 + 12
    per_s = [struct.unpack_from(">L", content, at)[0] for at in (movie, track)]
    at = content.index(b"elst") + 4 + 8
    shown = round((last_s - skip_s) * per_s[0])
    struct.pack_into(">Ll", content, at, shown, round(skip_s * per_s[1]))
    path.write_bytes(content)
    return path


def test_a_trimmed_video_is_what_its_edit_list_shows(tmp_path):
    # Bidirectional frames: the encoder's delay, which makes the muxer write an edit list.
    path = write_video(tmp_path / "a.mp4", options={"bf": "0"})
    if b"elst" not in path.read_bytes():
        pytest.fail("this muxer wrote no edit list")
    loaded = load_video(edited(path, 0.3, 1.5), 3)
    assert grey_levels(loaded) == [5, 9, 13]
    assert loaded.frame_times_s == pytest.approx((0.2, 0.6, 1.0))
    assert not loaded.caveats


MOMENTS = (0.2, 0.7, 1.2, 1.7)


@pytest.mark.parametrize(("name", "start"), [("a.mp4", 200), ("a.mkv", 90_000), ("a.ts", 500)])
def test_clocks_that_start_late(name, start, tmp_path):
    loaded = load_video(write_video(tmp_path / name, range(start, start + 2000, 100)), 4)
    assert grey_levels(loaded) == [2, 7, 12, 17]
    assert loaded.frame_times_s == pytest.approx(MOMENTS, abs=2e-3)
    assert not loaded.caveats


def test_frames_before_time_zero_are_not_shown(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.mp4", range(-200, 1800, 100)), 18)
    assert grey_levels(loaded) == list(range(2, 20))  # the muxer trims them with an edit list
    assert not loaded.caveats


def test_a_clock_that_wraps_around(tmp_path):
    start = 2**33 * 1000 // 90_000 - 1000  # MPEG-TS counts 33 bits at 90 kHz
    path = write_video(tmp_path / "a.ts", range(start, start + 2000, 100),
                       container={"mpegts_copyts": "1"})  # fmt: skip
    loaded = load_video(path, 4)
    assert grey_levels(loaded) == [2, 7, 12, 17]
    assert loaded.frame_times_s == pytest.approx(MOMENTS, abs=2e-3)
    assert not loaded.caveats


def test_a_clock_that_starts_again(tmp_path):
    one = write_video(tmp_path / "one.ts").read_bytes()
    (tmp_path / "a.ts").write_bytes(one + one)
    loaded = load_video(tmp_path / "a.ts", 4)
    assert grey_levels(loaded) == [5, 15, 5, 15]
    assert list(loaded.frame_times_s) == sorted(loaded.frame_times_s)
    assert loaded.frame_times_s[-1] == pytest.approx(3.5, abs=0.11)
    assert codes(loaded) == ["video_times_estimated"]


def test_a_live_recording_without_a_length(tmp_path):
    path = write_video(tmp_path / "a.mkv", container={"live": "1"})
    loaded = load_video(path, 4)
    assert (grey_levels(loaded), codes(loaded)) == ([2, 7, 12, 17], [])


def test_one_frame(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.mp4", [0]), 8)
    assert loaded.frame_times_s == (0.0,)
    assert codes(loaded) == ["video_fewer_frames"]


def test_sound_before_the_picture(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 16000
            container.mux(sound.encode(frame))
        for index in range(8):
            pixels = np.full((48, 64, 3), 10 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    loaded = load_video(path, 4)
    assert grey_levels(loaded) == [1, 3, 5, 7]
    assert loaded.frame_times_s == pytest.approx((0.1, 0.3, 0.5, 0.7))
