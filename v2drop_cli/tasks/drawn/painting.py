"""Scenes as pictures."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from v2drop_cli.tasks.drawn.scenes import Scene, Shape


def outline(shape: Shape) -> list[tuple[float, float]]:
    """The shape's corners in image fractions (a circle is a polygon of 40)."""
    half = shape.size / 2
    cos, sin = math.cos(shape.angle), math.sin(shape.angle)
    return [
        (shape.x + half * (x * cos - y * sin), shape.y + half * (x * sin + y * cos))
        for x, y in _unit_outline(shape.kind, shape.aspect)
    ]


def _unit_outline(kind: str, aspect: float) -> list[tuple[float, float]]:
    if kind == "circle":
        return [(math.cos(i * math.tau / 40), math.sin(i * math.tau / 40)) for i in range(40)]
    if kind == "triangle":
        return [(0.0, -0.9), (0.95, 0.75), (-0.95, 0.75)]
    if kind == "diamond":
        return [(0.0, -1.0), (0.72, 0.0), (0.0, 1.0), (-0.72, 0.0)]
    if kind == "star":
        radii = (1.0, 0.42)
        return [
            (radii[i % 2] * math.sin(i * math.pi / 5), -radii[i % 2] * math.cos(i * math.pi / 5))
            for i in range(10)
        ]
    width, height = (0.85, 0.85) if kind == "square" else (min(1.0, 1 / aspect), min(1.0, aspect))
    return [(-width, -height), (width, -height), (width, height), (-width, height)]


def shape_mask(shape: Shape, side: int, oversample: int = 2) -> Image.Image:
    """Coverage of every pixel by the shape (0-255), smoothed at the edges."""
    scale = side * oversample
    canvas = Image.new("L", (scale, scale))
    points = [(x * scale - 0.5, y * scale - 0.5) for x, y in outline(shape)]
    ImageDraw.Draw(canvas).polygon(points, fill=255)
    return canvas.reduce(oversample) if oversample > 1 else canvas


def render(scene: Scene, side: int) -> Image.Image:
    """Draw the scene as a square RGB picture."""
    back = scene.background
    ramp = np.linspace(0.0, 1.0, side, dtype=np.float32)[:, None]
    line = np.asarray(back.start) * (1 - ramp) + np.asarray(back.end) * ramp
    axis = 1 if back.vertical else 0
    pixels = np.repeat(np.expand_dims(line, axis), side, axis=axis)
    picture = Image.fromarray(pixels.round().astype(np.uint8))
    for shape in scene.shapes:
        picture.paste(shape.rgb, (0, 0), shape_mask(shape, side))
    if not back.noise:
        return picture
    noise = np.random.default_rng(back.noise_seed).standard_normal((side, side, 3), np.float32)
    noisy = np.asarray(picture, np.float32) + noise * back.noise
    return Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))
