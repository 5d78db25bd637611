"""Draws the sample picture and clip of the repository: ``python -m benchmarks.tiny.sample``."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from benchmarks.tiny.model import SIDE
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.scenes import COLORS, Background, Scene, Shape

MEDIA = Path(__file__).parents[2] / "sample_media"
FRAME_COUNT, FRAME_RATE = 24, 10
_PAPER = Background((248, 246, 240), (236, 240, 248), vertical=True, noise=0.0, noise_seed=0)


def shape(kind: str, color: str, x: float, y: float, size: float) -> Shape:
    """A shape in the middle of its colour's range, upright."""
    first, second = COLORS[color]
    red, green, blue = ((a + b) // 2 for a, b in zip(first, second, strict=True))
    return Shape(kind, color, (red, green, blue), x, y, size, aspect=0.55, angle=0.0)


def sample_scene() -> Scene:
    """Three shapes on light paper."""
    return Scene(
        (
            shape("circle", "blue", 0.2, 0.32, 0.26),
            shape("star", "red", 0.52, 0.66, 0.3),
            shape("triangle", "green", 0.82, 0.28, 0.24),
        ),
        _PAPER,
    )


def sample_frame(progress: float) -> Scene:
    """A red circle on its way from left to right, above a blue square at rest."""
    return Scene(
        (
            shape("circle", "red", 0.18 + 0.64 * progress, 0.3, 0.26),
            shape("square", "blue", 0.5, 0.74, 0.28),
        ),
        _PAPER,
    )


def write_clip(path: Path) -> None:
    """Encode the clip as H.264, which plays everywhere."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20"}
        for index in range(FRAME_COUNT):
            picture = render(sample_frame(index / (FRAME_COUNT - 1)), SIDE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture))))
        container.mux(stream.encode())


def main() -> None:
    """Draw both files."""
    MEDIA.mkdir(exist_ok=True)
    render(sample_scene(), SIDE).save(MEDIA / "scene.png")
    write_clip(MEDIA / "clip.mp4")


if __name__ == "__main__":
    main()
