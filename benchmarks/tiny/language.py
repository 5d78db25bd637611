"""Stage B: the language model learns to answer from symbolic vision tokens.

No picture is drawn: a vision token is the sum of the *word embeddings* of what its patch
shows, and of where it is. Looking a word up, and copying another one from the place found,
then start out as a matter of matching equal vectors, which a small model learns in minutes.
Early on it sees a sample of the patches, at the positions they would have among all.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaModel, PreTrainedTokenizerFast

from benchmarks.tiny.loop import Stage, Tally, run
from benchmarks.tiny.model import GRID, WIDTH, place_features, text_config
from benchmarks.tiny.packing import (
    ATTENTION,
    NO_TARGET,
    Packed,
    Packer,
    tally_answers,
    text_mask,
)
from benchmarks.tiny.patches import PatchLabels, mosaic_labels, patch_labels
from v2drop_cli.tasks.drawn.clips import DIRECTIONS, sample_clip
from v2drop_cli.tasks.drawn.questions import CLIP_TASKS, SCENE_TASKS, Question, questions_for
from v2drop_cli.tasks.drawn.scenes import COLOR_NAMES, KINDS, sample_scene

QUESTIONS = 8
_EDGE_SEEN = 0.5
_WORD_LOST = 0.03
_NOISE = 0.1
_WORD_STD = 0.1


class SymbolicEyes(nn.Module):
    """Embeds patch labels with the language model's own word embeddings."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.empty = nn.Parameter(torch.randn(WIDTH) * _WORD_STD)
        self.center = nn.Parameter(torch.randn(WIDTH) * _WORD_STD)
        self.place = nn.Linear(16, WIDTH, bias=False)
        nn.init.normal_(self.place.weight, std=0.03)
        for name, words in (("color", COLOR_NAMES), ("kind", KINDS), ("motion", DIRECTIONS)):
            ids = [tokenizer.encode(f" {word}", add_special_tokens=False)[0] for word in words]
            self.register_buffer(f"{name}_ids", torch.tensor([0, *ids]), persistent=False)

    def forward(self, labels: dict[str, Tensor], words: nn.Embedding) -> Tensor:
        """Embed labels of shape (pictures, patches)."""
        total: Tensor = self.place(place_features(labels["position"]))
        for name in ("color", "kind", "motion"):
            shown = labels[name].unsqueeze(-1) > 0
            ids: Tensor = getattr(self, f"{name}_ids")
            total = total + words(ids[labels[name]]) * shown
        background = (labels["color"] == 0).unsqueeze(-1)
        return total + self.empty * background + self.center * labels["center"].unsqueeze(-1)


class Reader(nn.Module):
    """The language model and its symbolic eyes.

    Word embeddings stay as drawn until the joint stage. They are input and output at once:
    trained from the start, all colours are first pulled towards "some colour is the answer",
    and by the time lookups could form they can hardly be told apart.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, layers: int) -> None:
        super().__init__()
        self.eyes = SymbolicEyes(tokenizer)
        self.language = LlamaModel(text_config(tokenizer, layers))
        self.language.set_attn_implementation(ATTENTION)
        words = self.language.embed_tokens
        nn.init.normal_(words.weight, std=_WORD_STD)
        words.requires_grad_(False)
        layer: Any
        for layer in self.language.layers:
            attention = layer.self_attn
            # Equal words attend to one another from the first step on.
            attention.k_proj.weight.data.copy_(attention.q_proj.weight.data)
            for last in (attention.o_proj, layer.mlp.down_proj):
                last.weight.data.mul_((2 * layers) ** -0.5)

    def see(self, labels: dict[str, Tensor]) -> Tensor:
        """Embed labels, blurred a little as real eyes will."""
        seen: Tensor = self.eyes(labels, self.language.embed_tokens)
        return seen + _NOISE * seen.detach().std() * torch.randn_like(seen)


def deepen(shallow: Reader, tokenizer: PreTrainedTokenizerFast, layers: int) -> Reader:
    """A deeper reader that computes the same: new layers sit between and add nothing yet."""
    deep = Reader(tokenizer, layers)
    deep.eyes.load_state_dict(shallow.eyes.state_dict())
    new, old = deep.language, shallow.language
    new.embed_tokens.load_state_dict(old.embed_tokens.state_dict())
    new.norm.load_state_dict(old.norm.state_dict())
    times = layers // len(old.layers)
    layer: Any
    for index, layer in enumerate(new.layers):
        layer.load_state_dict(old.layers[index // times].state_dict())
        if index % times:
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)
    return deep


def answer_loss(
    language: LlamaModel, prefix: Tensor, vision: Tensor, vision_positions: Tensor, packed: Packed
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the answers' tokens, and the most likely token in their places."""
    words = language.embed_tokens
    batch = len(vision)
    embeds = torch.cat([words(prefix).expand(batch, -1, -1), vision, words(packed.ids)], dim=1)
    positions = torch.cat(
        [
            torch.arange(len(prefix), device=prefix.device).expand(batch, -1),
            vision_positions + len(prefix),
            packed.positions,
        ],
        dim=1,
    )
    mask = text_mask(packed.numbers, len(prefix) + vision.shape[1])
    hidden = language(
        inputs_embeds=embeds, attention_mask=mask, position_ids=positions, use_cache=False
    ).last_hidden_state
    aimed = packed.targets != NO_TARGET
    answering = hidden[:, -packed.ids.shape[1] :][aimed]
    logits = functional.linear(answering, words.weight).float()
    return functional.cross_entropy(logits, packed.targets[aimed]), logits.argmax(-1)


def _choose(labels: PatchLabels, count: int, generator: np.random.Generator) -> np.ndarray:
    """Some patches in reading order: every centre, then half of the rest from shapes."""
    center, shown = labels.center.ravel() > 0, labels.owner.ravel() >= 0
    rank = generator.random(center.size)
    rank[center] -= 3
    rest = np.flatnonzero(shown & ~center)
    rank[generator.permutation(rest)[: (count - center.sum()) // 2]] -= 2
    return np.sort(np.argsort(rank)[:count])


def sample_tokens(
    labels: Sequence[PatchLabels], count: int, still: float, rng: random.Random
) -> dict[str, Tensor]:
    """Take labels of ``count`` patches per picture, some of them read wrongly as eyes will.

    ``still`` is the share of clips that show no motion but by where the shapes are.
    """
    generator = np.random.default_rng(rng.getrandbits(32))
    rows = []
    for label in labels:
        index = _choose(label, count, generator)
        unseen = (label.edge.ravel()[index] > 0) & (generator.random(count) > _EDGE_SEEN)
        lost = generator.random((3, count)) < _WORD_LOST
        if still and generator.random() < still:
            lost[2] = True
        words = [
            values.ravel()[index] * ~(unseen | missed)
            for values, missed in zip((label.color, label.kind, label.motion), lost, strict=True)
        ]
        rows.append(np.stack([*words, label.center.ravel()[index], index]))
    names = ("color", "kind", "motion", "center", "position")
    return dict(zip(names, torch.from_numpy(np.stack(rows, axis=1)), strict=True))


@dataclass(frozen=True)
class Lesson:
    """What a stage shows.

    ``patches`` are the numbers of patches to choose from, ``kept`` says how often to keep a
    question type (always, by default), and ``still`` is the share of clips whose patches say
    nothing about motion, so that it has to be read from where the shapes are.

    Negated questions wait for the second lesson. Mixed in from the start, whether a thing is
    there says nothing about the answer until negation is understood, and the other way round.
    """

    patches: tuple[int, ...]
    kept: Mapping[str, float] = field(default_factory=dict)
    still: float = 0.0

    def draw(
        self, media: str, batch: int, rng: random.Random
    ) -> tuple[list[PatchLabels], list[list[Question]]]:
        """Draw patch labels and questions about scenes or clips."""
        if media == "clip":
            clips = [sample_clip(rng) for _ in range(batch)]
            return (
                [mosaic_labels(clip, GRID) for clip in clips],
                [questions_for(clip, CLIP_TASKS, QUESTIONS, rng, self.kept) for clip in clips],
            )
        scenes = [sample_scene(rng) for _ in range(batch)]
        return (
            [patch_labels(scene, GRID) for scene in scenes],
            [questions_for(scene, SCENE_TASKS, QUESTIONS, rng, self.kept) for scene in scenes],
        )


def train_language(
    stage: Stage,
    reader: Reader,
    packer: Packer,
    lesson: Lesson,
    checkpoint: Path,
    device: torch.device,
) -> None:
    """Run one stage of B; one step in three is about clips."""
    prefix = packer.prefix.to(device)

    def loss_of(step: int, rng: random.Random, tally: Tally) -> Tensor:
        media = "clip" if step % 3 == 2 else "image"
        labels, questions = lesson.draw(media, stage.batch, rng)
        patches = labels[0].color.size
        tokens = sample_tokens(labels, rng.choice(lesson.patches), lesson.still, rng)
        tokens = {name: values.to(device) for name, values in tokens.items()}
        packed = packer.pack(questions, patches, rng).to(device)
        torch.manual_seed(step)
        loss, guesses = answer_loss(
            reader.language, prefix, reader.see(tokens), tokens["position"], packed
        )
        tally_answers(packed, guesses, tally, media)
        return loss

    run(stage, reader, loss_of, checkpoint)
