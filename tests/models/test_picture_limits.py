"""Long thin pictures are refused before a processor blows them up."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import v2drop_cli
from v2drop_cli.errors import MediaError
from v2drop_cli.media import load_image
from v2drop_cli.models import picture_limits
from v2drop_cli.models.picture_limits import MOST_ENLARGED, check_pictures, enlarged

CLIP = SimpleNamespace(size={"shortest_edge": 336}, do_resize=True)


@pytest.mark.parametrize(
    ("processor", "size", "expected"),
    [
        (CLIP, (640, 480), (640, 480)),  # it shrinks, so it is never larger than it is
        (CLIP, (100, 200), (336, 672)),
        (CLIP, (1, 3000), (336, 1_008_000)),
        (CLIP, (60_000, 1), (20_160_000, 336)),
        (SimpleNamespace(size={"height": 384, "width": 384}), (1, 3000), (1, 3000)),
        (SimpleNamespace(size={"longest_edge": 1540}), (1, 3000), (1, 3000)),
        (SimpleNamespace(size={"shortest_edge": 3136, "longest_edge": 10**6}), (1, 9), (1, 9)),
        (SimpleNamespace(size={"shortest_edge": 336}, image_grid_pinpoints=[]), (1, 9), (1, 9)),
        (SimpleNamespace(size={"shortest_edge": 336}, do_resize=False), (1, 9), (1, 9)),
        (SimpleNamespace(size={"shortest_edge": 336}, do_pad=True), (1, 3000), (3000, 3000)),
        (None, (1, 9), (1, 9)),
    ],
)
def test_the_largest_size_on_the_way(processor, size, expected):
    assert enlarged(processor, *size) == expected


def test_only_what_grows_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(picture_limits, "MOST_ENLARGED", 336 * 3360)
    check_pictures(CLIP, [Image.new("RGB", (10, 100)), Image.new("RGB", (2000, 2000))], "a.png")
    with pytest.raises(MediaError) as caught:
        check_pictures(CLIP, [Image.new("RGB", (10, 101))], "b.png")
    assert caught.value.message.startswith("b.png is 10 x 101 pixels")
    assert "336 x 3393" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("size", [(1, 3000), (60_000, 1)])
def test_a_model_refuses_it_before_any_work(size, tmp_path):
    Image.new("RGB", size, "red").save(tmp_path / "a.png")
    loaded = v2drop_cli.load("tiny", device="cpu")
    picture = load_image(tmp_path / "a.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaError, match=f"{size[0]} x {size[1]}"):
        loaded.prepare([picture], "what?")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MOST_ENLARGED  # kilobytes on Linux: less than a byte a pixel


def test_a_video_processor_is_asked_about_videos():
    thin = (Image.new("RGB", (1, 3000)),) * 3
    item = SimpleNamespace(kind="video", frames=thin, path=Path("thin.mp4"))
    both = SimpleNamespace(image_processor=SimpleNamespace(size={}), video_processor=CLIP)
    with pytest.raises(MediaError):
        picture_limits.check_media(both, [item])
    picture = SimpleNamespace(kind="image", frames=thin, path=Path("thin.png"))
    picture_limits.check_media(both, [picture])
