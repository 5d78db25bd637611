"""Stages C and D: the eyes are joined to the language model, then all is trained as one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from benchmarks.tiny.language import Reader, SymbolicEyes, answer_loss
from benchmarks.tiny.loop import Stage, Tally, run
from benchmarks.tiny.model import GRID, SIDE, WIDTH, build_llava, encode_patches
from benchmarks.tiny.packing import ATTENTION, Packer, tally_answers
from benchmarks.tiny.patches import PatchLabels, mosaic_labels, patch_labels
from benchmarks.tiny.vision import (
    ALL_POSITIONS,
    PatchReader,
    patch_loss,
    pictures_with_labels,
    to_pixels,
    to_tensors,
)
from v2drop_cli.tasks.drawn.clips import mosaics, sample_clip
from v2drop_cli.tasks.drawn.painting import render
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS, Question, questions_for
from v2drop_cli.tasks.drawn.scenes import sample_scene

_PATCH_WEIGHT = 0.2
_QUESTIONS = 12


class Tiny(nn.Module):
    """The LLaVA to export, and the per-patch reader that shares its vision tower."""

    def __init__(
        self, reader: PatchReader, language: Reader, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        super().__init__()
        self.llava = build_llava(tokenizer)
        self.llava.model.vision_tower.load_state_dict(reader.tower.state_dict())
        self.llava.model.language_model.load_state_dict(language.language.state_dict())
        self.llava.model.language_model.set_attn_implementation(ATTENTION)
        self.llava.get_input_embeddings().requires_grad_(False)
        self.reader = PatchReader()
        self.reader.tower = self.llava.model.vision_tower
        self.reader.head.load_state_dict(reader.head.state_dict())

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Patch features before the projector and after it."""
        positions = ALL_POSITIONS.to(pixels.device)
        features = encode_patches(self.llava.model.vision_tower, pixels, positions)
        vision: Tensor = self.llava.model.multi_modal_projector(features)
        return features, vision


def align(
    stage: Stage, tiny: Tiny, eyes: SymbolicEyes, checkpoint: Path, device: torch.device
) -> None:
    """Stage C: only the projector learns, to give the tokens that symbolic eyes gave.

    Edge patches are left out: symbolic eyes were made to disagree about them.
    """
    words = tiny.llava.get_input_embeddings()

    def loss_of(step: int, rng: random.Random, tally: Tally) -> Tensor:
        pixels, positions, labels = pictures_with_labels(stage.batch, rng)
        labels = {name: values.to(device) for name, values in labels.items()}
        with torch.no_grad():
            features = encode_patches(
                tiny.llava.model.vision_tower, pixels.to(device), positions.to(device)
            )
            aimed = eyes(labels | {"position": positions.to(device)}, words)
        given = tiny.llava.model.multi_modal_projector(features)
        error = (given - aimed).square().mean(-1) / aimed.var()
        shown = labels["owner"] >= 0
        whole = shown & (labels["edge"] == 0)
        loss: Tensor = (error[whole].mean() + error[~shown].mean()) / 2
        return loss

    run(stage, tiny.llava.model.multi_modal_projector, loss_of, checkpoint)


Drawn = tuple[list[Image.Image], list[PatchLabels], list[list[Question]]]


def draw_scenes(batch: int, rng: random.Random) -> Drawn:
    """Draw pictures with their patch labels and questions."""
    scenes = [sample_scene(rng) for _ in range(batch)]
    return (
        [render(scene, SIDE) for scene in scenes],
        [patch_labels(scene, GRID) for scene in scenes],
        [questions_for(scene, SCENE_TASKS, _QUESTIONS, rng) for scene in scenes],
    )


def draw_clips(batch: int, rng: random.Random) -> Drawn:
    """Draw clips as mosaics, with patch labels and questions."""
    clips = [sample_clip(rng) for _ in range(batch)]
    return (
        [picture for clip in clips for picture in mosaics(clip, SIDE)],
        [mosaic_labels(clip, GRID) for clip in clips],
        [questions_for(clip, CLIP_TASKS, _QUESTIONS, rng) for clip in clips],
    )


def train_jointly(
    stage: Stage,
    tiny: Tiny,
    packer: Packer,
    checkpoint: Path,
    device: torch.device,
    on_save: Callable[[int], None],
) -> None:
    """Stage D: every weight, every vision token. A clip costs twice a picture: half as many."""
    prefix = packer.prefix.to(device)

    def loss_of(step: int, rng: random.Random, tally: Tally) -> Tensor:
        media = "clip" if step % 3 == 2 else "image"
        drawn = (
            draw_clips(stage.batch // 2, rng) if media == "clip" else draw_scenes(stage.batch, rng)
        )
        pictures, labels, questions = drawn
        features, vision = tiny.see(to_pixels(pictures).to(device))
        vision = vision.reshape(len(questions), -1, WIDTH)
        positions = torch.arange(vision.shape[1], device=device).expand(len(questions), -1)
        packed = packer.pack(questions, vision.shape[1], rng).to(device)
        loss, guesses = answer_loss(
            tiny.llava.model.language_model, prefix, vision, positions, packed
        )
        tally_answers(packed, guesses, tally, media)
        shown = {
            name: values.to(device) for name, values in to_tensors(labels, GRID * GRID).items()
        }
        read = tiny.reader.read(features)
        return loss + _PATCH_WEIGHT * patch_loss(read, shown, ALL_POSITIONS.to(device), tally)

    run(stage, tiny, loss_of, checkpoint, on_save)
