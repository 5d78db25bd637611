"""Pictures so long and thin that a processor would blow them up on the way to a small square.

CLIP's processors enlarge a picture until its short side fits, and crop the square from the
middle afterwards. A picture of 1 x 3000 pixels becomes one of 336 x 1,008,000 in between. It is
refused before that: the crop would show a model next to nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

    from v2drop_cli.media import Media

MOST_ENLARGED = 64_000_000
"""Of a picture that grew, in pixels: at 336 a side, one 566 times as long as wide."""


def check_media(processor: Any, media: Sequence[Media]) -> None:
    """Check every picture of ``media`` against what ``processor`` does to it.

    Raises:
        MediaError: one is too long and thin; nothing was processed yet.
    """
    for item in media:
        part = "image_processor" if item.kind == "image" else "video_processor"
        check_pictures(getattr(processor, part, None), item.frames[:1], item.path.name)


def check_pictures(processor: Any, pictures: Sequence[Image], name: str) -> None:
    """The same for one image or video processor and pictures as it gets them, of file ``name``.

    Raises:
        MediaError: see :func:`check_media`.
    """
    for picture in pictures:
        width, height = enlarged(processor, picture.width, picture.height)
        if width * height > max(MOST_ENLARGED, picture.width * picture.height):
            size = f"{picture.width} x {picture.height}"
            raise MediaError(
                f"{name} is {size} pixels, too long and thin for this model: its processor would"
                f" enlarge it to {width} x {height}, more than"
                f" {MOST_ENLARGED // 1_000_000} million pixels",
                hint="cut out the part that matters, or choose a model for pictures of any shape",
            )


def enlarged(processor: Any, width: int, height: int) -> tuple[int, int]:
    """The largest size that a picture of this size has on its way through ``processor``.

    >>> from types import SimpleNamespace
    >>> enlarged(SimpleNamespace(size={"shortest_edge": 336}), 1, 3000)
    (336, 1008000)
    """
    size = getattr(processor, "size", None)
    short, tiled = _edge(size, "shortest_edge"), hasattr(processor, "image_grid_pinpoints")
    # With a longest edge too, it is the limit; tiles are squares whatever the picture's shape.
    if not short or _edge(size, "longest_edge") or tiled:
        return width, height
    if getattr(processor, "do_pad", False):  # to a square first, of the long side
        width = height = max(width, height)
    if not getattr(processor, "do_resize", True):
        return width, height
    long = short * max(width, height) // min(width, height)
    made = (short, long) if width <= height else (long, short)
    return max(made, (width, height), key=lambda sides: sides[0] * sides[1])


def _edge(size: Any, name: str) -> int | None:
    found = getattr(size, name, None) if not hasattr(size, "get") else size.get(name)
    return found if isinstance(found, int) else None
