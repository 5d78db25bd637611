"""How PerceptionLM's processor cuts a picture into tiles: its rule without torchvision.

transformers has it inside a class that needs torchvision; a test compares the two.
"""

from __future__ import annotations

from math import floor

# Columns and rows of tiles.
Canvas = tuple[int, int]


def cut(width: int, height: int, side: int, most: int) -> Canvas:
    """Columns and rows of the tiles of a picture: the canvas that shows it largest, uncropped.

    Args:
        width: of the picture, in pixels.
        height: likewise.
        side: pixels of a tile, each way.
        most: tiles that an image may have.
    """
    best: tuple[float, Canvas] | None = None
    for columns, rows in _arranged(most):
        if columns * side < width or rows * side < height:
            continue
        shown = _shorter_side(width, height, columns * side, rows * side)
        if best is None or shown >= best[0]:
            best = shown, (columns, rows)
    return best[1] if best else _closest(width, height, most)


def _arranged(most: int) -> list[Canvas]:
    """Every arrangement, those of one shape together, larger ones first: ties go to the last."""
    shapes: dict[float, list[Canvas]] = {}
    for tiles in range(most, 0, -1):
        for columns in (n for n in range(1, tiles + 1) if tiles % n == 0):
            rows = tiles // columns
            shapes.setdefault(columns / rows, []).append((columns, rows))
    return [canvas for alike in shapes.values() for canvas in alike]


def _shorter_side(width: int, height: int, wide: int, high: int) -> float:
    """Of the picture as large as a canvas lets it be."""
    scale, factor = width / height, min(wide / width, high / height)
    if scale > 1.0:
        return floor(factor * width / scale)
    return floor(factor * height * scale) if scale < 1.0 else factor * height


def _closest(width: int, height: int, most: int) -> Canvas:
    """The largest canvas of the nearest shape, for a picture that none holds."""
    ratio = width / height
    shapes = dict.fromkeys(columns / rows for columns, rows in _arranged(most))
    if ratio >= 1:
        nearest = min((s for s in shapes if s <= ratio), key=lambda s: abs(s - ratio))
    else:
        nearest = min((s for s in shapes if s > ratio), key=lambda s: abs(1 / s - 1 / ratio))
    alike = [canvas for canvas in _arranged(most) if canvas[0] / canvas[1] == nearest]
    return max(alike, key=lambda canvas: canvas[0] if ratio >= 1 else canvas[1])
