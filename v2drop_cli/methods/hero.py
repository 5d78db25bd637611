"""HERO: what a tile may keep, and which of its tokens (arXiv 2509.13067; no code published)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import (
    CLASS_TOKEN,
    HIDDEN,
    QUESTION,
    TEXT,
    TOWER,
    DropContext,
    Kept,
    Method,
    refuse_nan,
)
from v2drop_cli.methods.crops import best_of_groups, by_image, in_proportion, with_separators
from v2drop_cli.methods.diversity import units
from v2drop_cli.methods.relevance import ByClip, ByQuestion, by_decoder
from v2drop_cli.schedule import Drop
from v2drop_cli.tensors import top_k


@dataclass(frozen=True)
class Hero(ByQuestion):
    """A budget for every tile by how salient and how relevant it is; tokens by attention.

    Of an image's k tokens the thumbnail has as large a share as of the image's patches, rounded
    down. The rest T is dealt out to the tiles: ``⌊w_i · T⌋``, with

        w_i = 0.2 · dens_i + 0.8 · (alpha · sal_i + (1 − alpha) · rel_i)
        sal = softmax over tiles of cos(tile's class token, thumbnail's) / tau_cls
        rel = softmax over tiles of cos(tile, question) / tau_clip
        dens = the tile's share of the patches that are no padding

    Inside a picture the tokens of largest attention of the class token stay: over the picture's
    tokens, averaged over heads and over blocks of the tower, the ``late`` ones for the thumbnail,
    the ``early`` ones for tiles. An image of one picture is a thumbnail alone.

    Not published, and so our setting: ``alpha``, ``tau_cls``, ``tau_clip``; which blocks are
    ``late`` and ``early``, as shares of the tower's depth; the class token as the tower returns
    it; and that what rounding and small tiles leave over goes on to the tiles of largest weight,
    then to the thumbnail. With ``text=CHECKPOINT`` the question is read by the CLIP that the
    vision tower was taken from, as published. Without it (our setting) a tile's relevance is the
    mean cosine of its projected tokens with the decoder's own embeddings of the question.

    Newline tokens are kept only where there are not enough patches. Several images share a row's
    count in proportion to their patches. The default count is 20 % of the tokens.

    Cost: the tower's pass is made already; one row of attention of half of its blocks, whose
    inputs are held until then; with ``text``, a pass of CLIP's text tower.
    """

    name = "hero"
    paper = "arXiv 2509.13067; alpha, temperatures and blocks are not published: our setting"
    needs = frozenset({TOWER, CLASS_TOKEN, HIDDEN, TEXT})
    usual = Drop(0, keep=0.2)
    alpha: float = 0.5
    tau_cls: float = 0.1
    tau_clip: float = 0.1
    late: str = "0.75-1"
    early: str = "0.25-0.5"
    text: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no share, no temperature, and no part of the tower."""
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha={self.alpha:g} of hero is no share", hint="0 to 1")
        if min(self.tau_cls, self.tau_clip) <= 0:
            raise UsageError("temperatures of hero are above 0", hint="for example tau_cls=0.1")
        blocks(self.late, 1), blocks(self.early, 1)

    def attach(self, model: Any, processor: Any) -> Method:
        """The same for a tower of the model's depth, with CLIP's text tower where it is asked."""
        vision = getattr(model.config, "vision_config", None)
        depth = int(getattr(vision, "num_hidden_layers", 0))
        parts = blocks(self.late, depth), blocks(self.early, depth)
        clip = self.clip(model, processor)
        return HeroHere(self, *parts, clip, positions=self.positions)


def blocks(part: str, depth: int) -> tuple[int, ...]:
    """The blocks of a tower of so many that ``part``, two shares of its depth, stands for.

    Raises:
        UsageError: it is no part of a tower.

    >>> blocks("0.25-0.5", 24)
    (6, 7, 8, 9, 10, 11)
    """
    try:
        first, last = map(float, part.split("-"))
    except ValueError:
        first, last = 1.0, 0.0
    if not 0 <= first < last <= 1:
        raise UsageError(
            f"{part!r} is no part of a tower's depth", hint="two shares of it, as in late=0.75-1"
        )
    return tuple(range(math.floor(first * depth), math.ceil(last * depth)))


@dataclass(frozen=True)
class HeroHere(Method):
    """Hero for one model's tower: what :meth:`Hero.attach` returns.

    Attributes:
        hero: the parameters.
        late: blocks whose attention ranks the thumbnail's tokens.
        early: those for the tiles' tokens.
        clip: reads the question, if anybody but the decoder does.
    """

    hero: Hero
    late: tuple[int, ...]
    early: tuple[int, ...]
    clip: ByClip | None

    def __post_init__(self) -> None:
        """Name the method, and what is looked at for it: of a class elsewhere, here of one."""
        asks = {QUESTION} if self.clip else set()
        layers = (*sorted({*self.late, *self.early}), "output")
        for key, value in {
            "name": self.hero.name,
            "paper": self.hero.paper,
            "needs": self.hero.needs | asks,
            "tower_layers": layers,
        }.items():
            object.__setattr__(self, key, value)

    def select(self, ctx: DropContext) -> Kept:
        """The best tokens of each picture of each image."""
        tower = ctx.signals.tower("output")
        crops = tower.by_crop()
        images = by_image(crops, tower.crops)
        tiled = max(tower.crops) > 1
        late = self._attention(ctx, self.late)
        refuse_nan(self.hero, late.sum((0, 1)))
        early = self._attention(ctx, self.early) if tiled else late
        states = units(tower.class_hidden()) if tiled else None
        relevance = self._relevance(ctx, crops) if tiled else None
        sizes = [sum(len(crop) for crop in image) for image in images]
        kept, end = [], 0
        for image, k in zip(images, in_proportion(ctx.n_keep, sizes), strict=True):
            first, end = end, end + len(image)
            if len(image) == 1 or states is None or relevance is None:
                kept.append(image[0][top_k(self._of(late, image[0]), k)])
                continue
            scores = [self._of(late, image[0]), *(self._of(early, tile) for tile in image[1:])]
            own = slice(first + 1, end)
            weights = self._weights(image[1:], states[own] @ states[first], relevance[own])
            kept.append(_shared_out(image, scores, weights, k))
        return Kept(with_separators(kept, crops, len(ctx.positions), ctx.n_keep))

    def _attention(self, ctx: DropContext, layers: tuple[int, ...]) -> Tensor:
        """``[L, H, n]`` the class tokens' attention in these blocks."""
        return torch.stack([ctx.signals.tower(layer).class_attention() for layer in layers])

    def _of(self, attention: Tensor, tokens: Tensor) -> Tensor:
        """``[m]`` of one picture's tokens: over these alone, averaged over blocks and heads."""
        own = attention[..., tokens]
        return (own / own.sum(-1, keepdim=True)).mean((0, 1))

    def _relevance(self, ctx: DropContext, crops: list[Tensor]) -> Tensor:
        """``[pictures]`` cosine of each picture of the row with the question."""
        if self.clip is not None:
            pictures = ctx.signals.tower("output").class_hidden().float()
            asked = units(self.clip.clip.embedded(self.clip.question(ctx))).mean(dim=0)
            return (units(self.clip.clip.projected(pictures)) @ asked).to(pictures.device)
        cosines = -by_decoder(ctx)
        lowest = cosines.new_full((), -1.0)  # of a tile that is all padding
        return torch.stack([cosines[own].mean() if len(own) else lowest for own in crops])

    def _weights(self, tiles: list[Tensor], alike: Tensor, relevance: Tensor) -> Tensor:
        """``[tiles]`` each tile's share of the tiles' tokens."""
        hero, sizes = self.hero, torch.tensor([float(len(tile)) for tile in tiles])
        density = (sizes / sizes.sum().clamp(min=1)).to(alike.device)
        salient = torch.softmax(alike / hero.tau_cls, 0)
        relevant = torch.softmax(relevance / hero.tau_clip, 0)
        mixed = hero.alpha * salient + (1 - hero.alpha) * relevant
        return 0.2 * density + 0.8 * mixed


def _shared_out(image: list[Tensor], scores: list[Tensor], weights: Tensor, k: int) -> Tensor:
    """``[k]`` long: the best of the thumbnail and of each tile."""
    whole = len(image[0]) * k // sum(len(crop) for crop in image)
    quota = (weights * (k - whole)).floor().long()
    quota = torch.cat([torch.full_like(quota[:1], whole), quota])
    group = torch.cat([torch.full_like(crop, i) for i, crop in enumerate(image)])
    priority = torch.cat([weights.new_full((1,), -1), weights])
    return torch.cat(image)[best_of_groups(torch.cat(scores), group, quota, priority, k)]
