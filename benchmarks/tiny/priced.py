"""Stage D2: the language model learns to leave alone the vision tokens that need no work.

V2Drop assumes that a layer hardly moves the vision tokens that do not matter. Nothing in the
stages before asks for that. Here every move of a vision token has a price, the same for all
tokens: no label says which of them matter. The eyes stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaModel, LlavaForConditionalGeneration

from benchmarks.tiny.joint import draw_clips, draw_scenes
from benchmarks.tiny.language import answer_loss
from benchmarks.tiny.loop import Stage, Tally, run
from benchmarks.tiny.model import WIDTH
from benchmarks.tiny.packing import ATTENTION, Packer, tally_answers
from benchmarks.tiny.vision import to_pixels


@contextmanager
def moves(language: LlamaModel, vision: slice) -> Iterator[list[Tensor]]:
    """Collect how far each layer moves the vision tokens on average, ``mean ‖Δ‖``, in order."""
    found: list[Tensor] = []

    def record(_: nn.Module, entering: tuple[Tensor, ...], leaving: Tensor) -> None:
        moved = (leaving - entering[0])[:, vision]
        found.append(torch.linalg.vector_norm(moved, dim=-1).mean())

    hooks = [layer.register_forward_hook(record) for layer in language.layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def only_layers_learn(llava: LlavaForConditionalGeneration) -> LlamaModel:
    """Freeze the eyes, the projector and the word embeddings; returns what learns."""
    llava.requires_grad_(False)
    language: LlamaModel = llava.model.language_model
    language.layers.requires_grad_(True)
    language.norm.requires_grad_(True)
    language.set_attn_implementation(ATTENTION)
    return language


def train_priced(
    stage: Stage,
    llava: LlavaForConditionalGeneration,
    packer: Packer,
    checkpoint: Path,
    device: torch.device,
    on_save: Callable[[int], None],
) -> None:
    """Run stage D2, on the pictures and clips of stage D.

    The loss is the answers' and ``stage.price`` times the length of the vision tokens' way: the
    sum over layers of ``mean ‖Δ‖``, over ``mean ‖h_0‖`` so that it does not depend on the scale.
    """
    language = only_layers_learn(llava)
    prefix = packer.prefix.to(device)

    def loss_of(step: int, rng: random.Random, tally: Tally) -> Tensor:
        clip = step % 3 == 2
        draw, batch = (draw_clips, stage.batch // 2) if clip else (draw_scenes, stage.batch)
        pictures, _, questions = draw(batch, rng)
        with torch.no_grad():
            seen = llava.get_image_features(to_pixels(pictures).to(device)).pooler_output
            vision = torch.stack(list(seen)).reshape(batch, -1, WIDTH)
        patches = vision.shape[1]
        positions = torch.arange(patches, device=device).expand(batch, -1)
        packed = packer.pack(questions, patches, rng).to(device)
        with moves(language, slice(len(prefix), len(prefix) + patches)) as found:
            loss, guesses = answer_loss(language, prefix, vision, positions, packed)
        way = torch.stack(found).sum() / torch.linalg.vector_norm(vision, dim=-1).mean()
        tally_answers(packed, guesses, tally, "clip" if clip else "image")
        tally.add("way", round(way.item()), 100)  # the log writes hits per hundred tries
        total: Tensor = loss + stage.price * way
        return total

    run(stage, language, loss_of, checkpoint, on_save)
