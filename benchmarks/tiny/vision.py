"""Stage A: the vision tower learns to say what every patch shows, before any language."""

from __future__ import annotations

import random
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionModel

from benchmarks.tiny.loop import Stage, Tally, run
from benchmarks.tiny.model import (
    CLIP_MEAN,
    CLIP_STD,
    GRID,
    PATCH,
    SIDE,
    WIDTH,
    encode_patches,
    place_features,
    start_local,
    vision_config,
)
from benchmarks.tiny.patches import PatchLabels, mosaic_labels, patch_labels
from v2drop_cli.tasks.drawn.clips import DIRECTIONS, mosaics, sample_clip
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.scenes import COLOR_NAMES, KINDS, sample_scene

_SIZES = {
    "color": 1 + len(COLOR_NAMES),
    "kind": 1 + len(KINDS),
    "motion": 1 + len(DIRECTIONS),
    "center": 2,
    "place": 16,
    "form": 3,
}
_CENTER_WEIGHT = torch.tensor([1.0, 4.0])
Drawn = tuple[Tensor, Tensor, dict[str, Tensor]]
ALL_POSITIONS = torch.arange(GRID * GRID)


class PatchReader(nn.Module):
    """The vision tower under a linear layer that names colour, kind, motion and place."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = CLIPVisionModel(vision_config())
        start_local(self.tower)
        self.head = nn.Linear(WIDTH, sum(_SIZES.values()))

    def forward(self, pixels: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """Read pictures whose patches sit at ``positions``."""
        return self.read(encode_patches(self.tower, pixels, positions))

    def read(self, features: Tensor) -> dict[str, Tensor]:
        """Read patch features."""
        parts = self.head(features).float().split(list(_SIZES.values()), dim=-1)
        return dict(zip(_SIZES, parts, strict=True))


def to_pixels(pictures: list[Image.Image]) -> Tensor:
    """What the CLIP image processor makes of pictures that have the right size already."""
    stacked = np.stack([np.asarray(picture, np.float32) for picture in pictures]) / 255
    normal = (stacked - np.asarray(CLIP_MEAN, np.float32)) / np.asarray(CLIP_STD, np.float32)
    return torch.from_numpy(normal).permute(0, 3, 1, 2).contiguous()


def to_tensors(labels: list[PatchLabels], patches: int) -> dict[str, Tensor]:
    """Labels as one tensor (pictures, patches) per name."""
    names = [field.name for field in fields(PatchLabels)]
    stacked = torch.from_numpy(
        np.concatenate([label.stack().reshape(len(names), -1, patches) for label in labels], axis=1)
    )
    return dict(zip(names, stacked, strict=True))


def patch_loss(
    read: dict[str, Tensor], labels: dict[str, Tensor], positions: Tensor, tally: Tally
) -> Tensor:
    """Add up the losses of all labels, shapes and background weighted apart.

    The motion loss only sees shapes: the background has none, and would drown it. Place and
    form are regressed because they give a gradient long before a kind can be told.
    """
    owned, empty = labels["owner"] >= 0, labels["owner"] < 0
    whole = owned & (labels["edge"] == 0)
    form = torch.stack([labels["across"], labels["down"], labels["area"].sqrt()], dim=-1) / 2
    loss = functional.mse_loss(read["place"], place_features(positions).expand_as(read["place"]))
    loss = loss + functional.mse_loss(read["form"][owned], form[owned])
    for name, seen in (("color", whole), ("kind", owned), ("motion", whole), ("center", whole)):
        aimed, guess = labels[name][seen], read[name][seen]
        weight = _CENTER_WEIGHT.to(guess.device) if name == "center" else None
        loss = loss + functional.cross_entropy(guess, aimed, weight)
        tally.add(name, int((guess.argmax(-1) == aimed).sum()), aimed.numel())
        if name != "motion":
            none = functional.cross_entropy(read[name][empty], labels[name][empty])
            loss = loss + 0.5 * none
    return loss


def draw_crops(window: int, batch: int, rng: random.Random) -> Drawn:
    """Draw small pictures, each at a random window of the position table.

    The smallest show one shape and little else, larger ones up to two.
    """
    counts, smallest, largest = ((1,), 0.5, 0.9) if window <= 6 else ((1, 2, 2), 0.2, 0.5)
    scenes = [sample_scene(rng, counts, smallest, largest) for _ in range(batch)]
    spread = torch.arange(window)[:, None] * GRID + torch.arange(window)
    free = GRID - window
    corners = torch.tensor([rng.randint(0, free) * GRID + rng.randint(0, free) for _ in scenes])
    labels = to_tensors([patch_labels(scene, window) for scene in scenes], window * window)
    pixels = to_pixels([render(scene, window * PATCH) for scene in scenes])
    return pixels, corners[:, None] + spread.flatten(), labels


def pictures_with_labels(batch: int, rng: random.Random) -> Drawn:
    """Whole pictures: scenes, and the mosaics of half as many clips."""
    scenes = [sample_scene(rng) for _ in range(batch // 2)]
    clips = [sample_clip(rng) for _ in range(batch // 4)]
    pictures = [render(scene, SIDE) for scene in scenes]
    pictures += [picture for clip in clips for picture in mosaics(clip, SIDE)]
    labels = [patch_labels(scene, GRID) for scene in scenes]
    labels += [mosaic_labels(clip, GRID) for clip in clips]
    return to_pixels(pictures), ALL_POSITIONS, to_tensors(labels, GRID * GRID)


def train_vision(
    stage: Stage, reader: PatchReader, window: int, checkpoint: Path, device: torch.device
) -> None:
    """Run one stage of A on pictures of ``window`` x ``window`` patches."""

    def loss_of(step: int, rng: random.Random, tally: Tally) -> Tensor:
        pixels, positions, labels = (
            draw_crops(window, stage.batch, rng)
            if window < GRID
            else pictures_with_labels(stage.batch, rng)
        )
        positions = positions.to(device)
        read = reader(pixels.to(device), positions)
        aimed = {name: values.to(device) for name, values in labels.items()}
        return patch_loss(read, aimed, positions, tally)

    run(stage, reader, loss_of, checkpoint)
