"""Videos as they come: which frames, at which times, from files broken in every way."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.media.support import HEIGHT, WIDTH, codes, cut, grey_levels, refusal, write_video
from v2drop_cli import media
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.media import limits, load_image, load_video, video
from v2drop_cli.media.streams import find_source


def load_four(path: Path) -> media.Media:
    return load_video(path, 4)


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
    assert grey_levels(loaded) == [6, 10, 14, 16, 18]  # shown at 0.2, 0.6, 1.0, 1.4, 1.8 s
    assert loaded.frame_times_s == pytest.approx([5 * i * i / 1000 for i in (6, 10, 14, 16, 18)])


def test_times_count_from_the_start_of_the_stream(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.mkv", range(5000, 7000, 100)), 4)
    assert loaded.frame_times_s == pytest.approx((0.2, 0.7, 1.2, 1.7), abs=1e-3)
    assert not loaded.caveats


def test_missing_times_are_estimated_and_said(tmp_path):
    loaded = load_video(write_video(tmp_path / "a.h264"), 4)  # a bare stream has no stamps
    assert codes(loaded) == ["video_times_estimated"]
    assert loaded.frame_times_s == pytest.approx([i / 25 for i in (2, 7, 12, 17)])


def test_sound_that_outlasts_the_picture_is_no_broken_tail(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video, sound = (
            container.add_stream("mpeg4", rate=10),
            container.add_stream("aac", rate=8000),
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(5):
            container.mux(video.encode(av.VideoFrame(WIDTH, HEIGHT, "yuv420p")))
        container.mux(video.encode(None))
        for _ in range(40):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert not load_four(path).caveats


@pytest.mark.parametrize("asked", [8, 10**12])  # no work for what is not there
def test_a_short_video_gives_each_frame_once(tmp_path, asked):
    loaded = load_video(write_video(tmp_path / "a.mp4", range(0, 300, 100)), asked)
    assert grey_levels(loaded) == [0, 1, 2]
    assert codes(loaded) == ["video_fewer_frames"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_broken_tail_leaves_what_decodes(name, tmp_path):
    faststart = {"movflags": "+faststart"} if name == "a.mp4" else {}
    path = write_video(tmp_path / name, range(0, 4000, 200), container=faststart, noise=True)
    loaded = load_video(cut(path, 0.6), 4)
    assert "video_broken_tail" in codes(loaded)
    assert len(loaded.frames) == 4
    assert 1.5 < max(loaded.frame_times_s) < 2.5


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_frame_of_many_slices_that_breaks_off_is_no_whole_one(name, tmp_path):
    """Threads for slices mark no frame as damaged, so the last one would be half a picture."""
    made = {"options": {"slices": "4"}, "noise": True}
    if name == "a.mp4":
        made["container"] = {"movflags": "+faststart"}
    path = cut(write_video(tmp_path / name, range(0, 4000, 200), **made), 0.6)
    loaded = load_video(path, 40)
    assert {"video_broken_tail", "video_fewer_frames"} <= set(codes(loaded))
    assert len(loaded.frames) in (10, 11, 12)


def test_threads_are_believed_only_if_every_packet_gave_a_whole_frame(tmp_path, monkeypatch):
    """Here the threaded pass loses the last frame, and says nothing of it."""
    path, asked, scan_once = write_video(tmp_path / "a.mp4"), [], video._scan

    def scan(source, wanted, threads):
        asked.append(threads)
        found = scan_once(source, wanted, threads)
        if threads == "AUTO":
            found.stamps_s.pop()
        return found

    assert len(load_video(path, 1).frames) == 1
    monkeypatch.setattr(video, "_scan", scan)
    assert grey_levels(load_video(path, 1)) == [10]
    assert asked[:2] == ["AUTO", "NONE"]


@pytest.mark.parametrize(
    ("name", "doubtful"), [("a.mp4", False), ("a.mkv", False), ("a.ts", True), ("a.h264", True)]
)
def test_where_the_last_frame_may_be_half_of_one_no_threads_are_asked(
    name, doubtful, tmp_path, monkeypatch
):
    """Whether a frame's mark as damaged is set before another thread hands it out is chance."""
    container = {"movflags": "+faststart"} if name == "a.mp4" else {}
    path = write_video(tmp_path / name, range(0, 4000, 200), container=container, noise=True)
    asked, scan_once = [], video._scan
    monkeypatch.setattr(video, "_scan", lambda *given: asked.append(given[2]) or scan_once(*given))
    load_video(path, 4)
    assert set(asked) == {"NONE" if doubtful else "AUTO"}
    asked.clear()
    assert "video_broken_tail" in codes(load_video(cut(path, 0.6), 4)) or name == "a.h264"
    assert set(asked) == ({"AUTO"} if name == "a.mkv" else {"NONE"})  # it leaves out what is cut


def test_in_threads_what_cannot_be_decoded_is_no_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", options={"g": "1", "bf": "0"}, noise=True)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content, (position, size) = bytearray(path.read_bytes()), packets[8]
    content[position + size // 2 : position + size] = b"\xff" * (size - size // 2)
    path.write_bytes(content)
    source = find_source(path)
    assert not source.doubtful
    assert video._scan(source, frozenset(), "NONE").losses
    for _ in range(5):
        assert video._scan(source, frozenset(), "AUTO").total < len(source.packets)


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
    monkeypatch.setattr(limits, "MAX_PIXELS", WIDTH * HEIGHT - 1)
    assert "too large" in refusal(load_four, path).message


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
    assert refusal(load_four, tmp_path / "sound.mp4").hint == "it holds only audio"
    assert "not a video" in refusal(load_four, tmp_path / "notes.mp4").message
    assert "no video stream" in refusal(load_four, tmp_path / "notes.txt").message
    assert "cut short" in refusal(load_four, moov_less).hint


def test_no_frame_that_decodes(tmp_path):
    path = write_video(tmp_path / "a.mp4", container={"movflags": "+faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 4])
    assert "no frame" in refusal(load_four, path).message


@pytest.mark.parametrize("n_frames", [0, -3])
def test_fewer_than_one_frame_is_a_usage_error(n_frames, tmp_path):
    refusal(lambda path: load_video(path, n_frames), tmp_path, MediaArgumentError)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "avif"])
def test_an_image_given_as_video_is_told_so(suffix, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT), "teal").save(tmp_path / f"a.{suffix}")
    assert "--image" in refusal(load_four, tmp_path / f"a.{suffix}").hint


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.png"])
def test_a_video_given_as_image_is_told_so(name, tmp_path):
    path = write_video(tmp_path / "a.mkv" if name.endswith("mkv") else tmp_path / "a.mp4")
    assert "--video" in refusal(load_image, path.rename(tmp_path / name)).hint
