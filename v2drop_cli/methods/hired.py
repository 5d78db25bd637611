"""HiRED: a budget for every tile, spent by attention (arXiv 2408.10945; code hasanar1f/HiRED)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.methods.base import (
    CLASS_TOKEN,
    TOWER,
    DropContext,
    Kept,
    refuse_nan,
)
from v2drop_cli.methods.before_decoder import BeforeDecoder
from v2drop_cli.methods.crops import best_of_groups, by_image, in_proportion, with_separators
from v2drop_cli.methods.signal_protocols import TowerSignals
from v2drop_cli.schedule import Drop
from v2drop_cli.tensors import top_k


@dataclass(frozen=True)
class HiRED(BeforeDecoder):
    """The tokens that the class token attends to most, with a budget of its own for every tile.

    Tokens are ranked by the class token's attention in the tower's block -2, summed over heads.
    An image of one picture keeps the best. Of one in tiles, the thumbnail has ``int(k · alpha)``
    of the image's k tokens; the rest is dealt out to the tiles. For that the thumbnail's best
    ``int((1 − alpha) · 576)`` patches in block 0 are marked, and its raster order is cut into as
    many equal bands as there are tiles: a tile's part is its band's share of the marks, rounded
    down. (The paper counts the part of the thumbnail that the tile shows; this is their code.)

    Deviations. The code counts a tile's padding among its tokens, and loses what rounding and
    padding leave over; here that goes on, to the tiles of largest share and then to the
    thumbnail, so that the count is met. Newline tokens are left out, as in the code. Several
    images share a row's count in proportion to their tokens.

    Cost: the tower's pass is made already; one row of attention of two of its blocks.
    """

    name = "hired"
    paper = "arXiv 2408.10945"
    needs: ClassVar[frozenset[str]] = frozenset({TOWER, CLASS_TOKEN})
    tower_layers = (0, -2)
    usual = Drop(0, keep=0.2)  # as published
    alpha: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha={self.alpha:g} of hired is no share", hint="0 to 1")

    def select(self, ctx: DropContext) -> Kept:
        """The best of each picture of each image."""
        tower = ctx.signals.tower(-2)
        scores, crops = tower.class_attention().sum(0), tower.by_crop()
        marks = ctx.signals.tower(0).class_attention().sum(0) if max(tower.crops) > 1 else scores
        refuse_nan(self, scores)
        images = by_image(crops, tower.crops)
        sizes = [sum(len(crop) for crop in image) for image in images]
        kept = []
        for image, k in zip(images, in_proportion(ctx.n_keep, sizes), strict=True):
            if len(image) == 1:
                kept.append(image[0][top_k(scores[image[0]], k)])
            else:
                kept.append(self._tiled(tower, scores, marks, image, k))
        return Kept(with_separators(kept, crops, len(ctx.positions), ctx.n_keep))

    def _tiled(
        self, tower: TowerSignals, scores: Tensor, marks: Tensor, image: list[Tensor], k: int
    ) -> Tensor:
        """``[k]`` long: which tokens stay of an image's thumbnail and tiles."""
        thumbnail, tiles = image[0], len(image) - 1
        whole = min(int(k * self.alpha), len(thumbnail))
        marked = thumbnail[top_k(marks[thumbnail], int(len(thumbnail) * (1 - self.alpha)))]
        band = tower.patch()[marked] * tiles // tower.patches
        shares = scores.new_zeros(tiles).scatter_add_(0, band, scores.new_ones(len(band)))
        shares = shares / shares.sum().clamp(min=1)
        quota = (shares * (k - whole)).long()
        quota = torch.cat([torch.full_like(quota[:1], whole), quota])
        tokens = torch.cat(image)
        group = torch.cat([torch.full_like(crop, i) for i, crop in enumerate(image)])
        priority = torch.cat([shares.new_full((1,), -1), shares])
        return tokens[best_of_groups(scores[tokens], group, quota, priority, k)]
