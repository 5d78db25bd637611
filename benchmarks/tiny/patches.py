"""What each vision patch of a drawn scene or clip shows: what ``tiny`` is taught to see."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from v2drop_cli.tasks.drawn.clips import DIRECTIONS, FRAMES, Clip
from v2drop_cli.tasks.drawn.painting import shape_mask
from v2drop_cli.tasks.drawn.scenes import COLOR_NAMES, KINDS, Scene, Shape

Ints = npt.NDArray[np.int64]
_PIXELS_PER_PATCH = 6
_EDGE_COVER = 0.08


@dataclass(frozen=True)
class PatchLabels:
    """What each patch shows.

    ``color`` and ``kind`` count from 1 (0 is background), ``owner`` is the index of the shape
    (-1 is none). ``edge`` marks patches a shape fills less than half of, ``center`` the one
    that holds its middle. ``motion`` is its direction from 1 (0 is at rest), ``across`` and
    ``down`` are the way to its middle and ``area`` is its size, all in patches.
    """

    color: Ints
    kind: Ints
    center: Ints
    edge: Ints
    owner: Ints
    motion: Ints
    across: Ints
    down: Ints
    area: Ints

    def stack(self) -> Ints:
        """All labels as one array (names, rows, columns)."""
        return np.stack([getattr(self, field.name) for field in fields(self)])


def patch_labels(scene: Scene, grid: int) -> PatchLabels:
    """What each of ``grid`` x ``grid`` patches shows."""
    labels = PatchLabels(*np.zeros((len(fields(PatchLabels)), grid, grid), np.int64))
    labels.owner[:] = -1
    rows, columns = np.indices((grid, grid))
    for index, shape in enumerate(scene.shapes):
        mask = np.asarray(shape_mask(shape, grid * _PIXELS_PER_PATCH, 1), np.float32) / 255
        cells = mask.reshape(grid, _PIXELS_PER_PATCH, grid, _PIXELS_PER_PATCH).mean((1, 3))
        row, column = patch_of(shape, grid)
        cells[row, column] = 1.0
        inside = cells > _EDGE_COVER
        labels.color[inside] = 1 + COLOR_NAMES.index(shape.color)
        labels.kind[inside] = 1 + KINDS.index(shape.kind)
        labels.edge[inside] = cells[inside] <= 0.5
        labels.owner[inside] = index
        labels.center[row, column] = 1
        labels.across[inside] = (column - columns)[inside]
        labels.down[inside] = (row - rows)[inside]
        labels.area[inside] = inside.sum()
    return labels


def patch_of(shape: Shape, grid: int) -> tuple[int, int]:
    """Row and column of the patch that holds the shape's centre."""
    return min(grid - 1, int(shape.y * grid)), min(grid - 1, int(shape.x * grid))


def mosaic_labels(clip: Clip, grid: int) -> PatchLabels:
    """Patch labels of all mosaics, one below the other, with the mover's direction."""
    rows = []
    for start in range(0, FRAMES, 2):
        rows.append(
            np.concatenate(
                [
                    patch_labels(frame, grid // 2).stack()
                    for frame in clip.frames[start : start + 2]
                ],
                axis=2,
            )
        )
    labels = PatchLabels(*np.concatenate(rows, axis=1))
    if clip.direction is not None:
        labels.motion[labels.owner == 0] = 1 + DIRECTIONS.index(clip.direction)
    return labels
