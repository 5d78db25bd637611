"""Scenes before a ground with a texture, which the embedded model has never seen in training."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image

from v2drop_cli.tasks.drawn.painting import render, shape_mask
from v2drop_cli.tasks.drawn.scenes import Scene

_STRENGTH = 20.0
_WAVES = 3


def textured(scene: Scene, side: int, rng: random.Random) -> Image.Image:
    """Draw the scene; its ground gets a few waves of any direction, 4 to 40 pixels long.

    They move each colour by at most 20 of 255, so that every shape can still be told from it.
    """
    rows, columns = np.indices((side, side), dtype=np.float32)
    texture = np.zeros((side, side, 3), np.float32)
    for _ in range(_WAVES):
        turn, period = rng.uniform(0, math.pi), rng.uniform(4, 40)
        along = (math.cos(turn) * columns + math.sin(turn) * rows) * (2 * math.pi / period)
        tint = np.array([rng.uniform(-1, 1) for _ in range(3)], np.float32)
        texture += np.sin(along + rng.uniform(0, 2 * math.pi))[..., None] * tint
    cover = np.zeros((side, side), np.float32)
    for shape in scene.shapes:
        cover = np.maximum(cover, np.asarray(shape_mask(shape, side), np.float32) / 255)
    ground = (1 - cover)[..., None] * texture * (_STRENGTH / _WAVES)
    pixels = np.asarray(render(scene, side), np.float32) + ground
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
