"""EVS, Efficient Video Sampling: drop what did not move since the frame before (2510.14624)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from v2drop_cli.errors import ScheduleError, UnsupportedModelError
from v2drop_cli.methods.base import (
    GRIDS,
    HIDDEN,
    ORIGINAL,
    DropContext,
    Kept,
    Positions,
    refuse_nan,
)
from v2drop_cli.methods.before_decoder import BeforeDecoder
from v2drop_cli.records import Grid
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.tensors import top_k

# What vLLM scores the tokens of a first frame with; no dissimilarity is above 2.
_FIRST_FRAME = 255.0


@dataclass(frozen=True)
class EVS(BeforeDecoder):
    """Dissimilarity ``1 − cos(x[t], x[t−1])`` of a token to the one at its place a frame before.

    ``x`` are the projected tokens. Frame 0 scores 255, so it always stays; the tokens that changed
    most stay with it, ties go to the earlier one. Whatever the schedule says, all tokens of the
    first frame are kept: ``max(tokens per frame, count)``. Defined by vLLM's ``evs.py``.

    vLLM's pruning rate ``q`` is the schedule ``0:(1 − q)``, truncated as floats are: in Python
    ``Drop(0, keep=1 - 0.9)`` keeps 199 of 2000 tokens as vLLM does, while ``0:10%`` keeps 200. The
    default keeps a quarter.

    Tokens keep their (t, h, w) positions, so ``positions`` is ``original``. Deviations: float32
    whatever the model's dtype, and all videos of a prompt compete for its places. A picture beside
    a video counts as a video of one frame, and so do tokens that stand for no pixels.

    Refused by name: prompts without a video, and models that hand on a video as pictures of their
    own (grids of one frame each), because there a picture cannot be told from a frame.

    Cost: one cosine for each vision token. Finding the frames makes the host wait once.
    """

    name = "evs"
    paper = "arXiv 2510.14624"
    needs = frozenset({HIDDEN, GRIDS})
    chooses_count = True
    usual = Drop(0, keep=0.25)
    positions: Positions = field(default=ORIGINAL, kw_only=True)

    def check(self, schedule: Schedule) -> None:
        """Refuse a second drop: its frames would not be whole.

        Raises:
            ScheduleError: there is one.
        """
        super().check(schedule)
        if len(schedule.drops) > 1:
            raise ScheduleError(
                f"evs compares whole frames, so it drops once, and not as in {schedule}",
                hint="give one drop, for example 0:25%",
            )

    def check_media(self, kinds: frozenset[str]) -> None:
        """Refuse pictures, which have no frame before.

        Raises:
            UnsupportedModelError: no video is among what is shown.
        """
        if "video" not in kinds:
            raise UnsupportedModelError(
                "evs compares the frames of a video, and this prompt has none",
                hint="pass --video, or take another method",
            )

    def select(self, ctx: DropContext) -> Kept:
        """The first frames, and the tokens that changed most.

        Raises:
            UnsupportedModelError: the prompt has no video whose frames are known.
        """
        grids = _grids(ctx)
        changed = _changes(ctx.signals.hidden(), grids)
        refuse_nan(self, changed)
        first_frames = sum(grid.h * grid.w for grid in grids)
        return Kept(top_k(changed, max(ctx.n_keep, first_frames)))


def _grids(ctx: DropContext) -> Sequence[Grid]:
    """How the row's tokens lie over the pixels, if a video is among what they show."""
    grids = ctx.signals.grids()
    if grids is None:
        raise UnsupportedModelError(
            "evs compares the frames of a video, and this model's call does not tell its frames",
            hint="pass the model all that its processor gave, or take another method",
        )
    if all(grid.t == 1 for grid in grids):
        raise UnsupportedModelError(
            "evs compares the frames of a video, and this prompt has none as the model sees it",
            hint="pass a --video to a Qwen2-VL, Qwen2.5-VL, LLaVA-OneVision or LLaVA-NeXT-Video; "
            "other models hand on its frames as pictures",
        )
    return grids


def _changes(states: Tensor, grids: Sequence[Grid]) -> Tensor:
    """``[n]`` float32: how unlike each token is to the one at its place a frame before."""
    states = states.float()
    sizes = [grid.t * grid.h * grid.w for grid in grids]
    missing = sum(sizes) - len(states)  # a prompt that ends in its video keeps its last token
    padded = torch.nn.functional.pad(states, (0, 0, 0, missing))
    changes: list[Tensor] = []
    for grid, part in zip(grids, torch.split(padded, sizes), strict=True):
        frames = part.reshape(grid.t, grid.h * grid.w, -1)
        alike = torch.nn.functional.cosine_similarity(frames[1:], frames[:-1], dim=-1)
        first = alike.new_full((grid.h * grid.w,), _FIRST_FRAME)
        changes += [first, (1 - alike).flatten()]
    return torch.cat(changes)[: len(states)]
