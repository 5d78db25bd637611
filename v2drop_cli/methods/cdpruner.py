"""CDPruner: diverse vision tokens, given the question (arXiv 2506.10967, NeurIPS 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from v2drop_cli.methods.base import (
    GRIDS,
    HIDDEN,
    QUESTION,
    TEXT,
    TOWER,
    DropContext,
    Kept,
    Method,
    refuse_nan,
)
from v2drop_cli.methods.diversity import cosines, most_volume
from v2drop_cli.methods.relevance import ByClip, ByQuestion, by_decoder


@dataclass(frozen=True)
class CDPruner(ByQuestion):
    """Greedy MAP of a determinantal point process with kernel ``r_i · cos(x_i, x_j) · r_j`` (§3).

    ``x`` are the projected tokens. ``r`` is their relevance to the question: minus a cosine, mean
    over segments of text, then ``(r − min + 1e-6) / (max − min)`` over all tokens of the row.

    With ``text=CHECKPOINT``, as published: the cosine is between the patch at layer −2 of the
    vision tower, through CLIP's post-norm and visual projection, and the question in CLIP's text
    tower, without the sentence that says how to answer. ``CHECKPOINT`` is a directory with the
    CLIP that the vision tower was taken from.

    Without it, not as published ("our setting"): the cosine is between the projected token and the
    decoder's own embeddings of the text after the last picture, the chat template's end included.
    The sign stays, though its reason is how CLIP's patches relate to texts.

    Deviations: the authors give every crop of a picture the same count; here all tokens of a row
    compete. Everything is in float32. The authors do not clamp, and get NaN and repeated tokens
    where more are asked for than the kernel's rank; here tokens that the chosen ones span come
    last, the earlier ones first. The default count is the published 64.

    Cost: n² cosines, and one step over n tokens and all chosen before for each that stays. With
    ``text``, a pass of CLIP's text tower and the projection of n patches.
    """

    name = "cdpruner"
    paper = (
        "arXiv 2506.10967; as published with text=CLIP, else by the decoder's embeddings of the "
        "question"
    )
    needs = frozenset({HIDDEN, TEXT})
    text: str = ""

    def attach(self, model: Any, processor: Any) -> Method:
        """With ``text``, the same with CLIP's text tower loaded."""
        clip = self.clip(model, processor)
        return self if clip is None else AskingClip(self, clip, positions=self.positions)

    def select(self, ctx: DropContext) -> Kept:
        """The set of ``n_keep`` tokens, judged by the decoder's own embeddings."""
        return self.chosen(ctx, by_decoder(ctx))

    def chosen(self, ctx: DropContext, relevance: Tensor) -> Kept:
        """The set of ``n_keep`` tokens, given the raw relevance ``[n]`` of each."""
        weights = self.weights(ctx, relevance)
        refuse_nan(self, weights)
        kernel = weights[:, None] * cosines(ctx.signals.hidden()) * weights
        return Kept(most_volume(kernel, ctx.n_keep).sort().values)

    def weights(self, ctx: DropContext, relevance: Tensor) -> Tensor:
        """``[n]`` what each token's row and column of the kernel are multiplied by."""
        return scaled(relevance)


@dataclass(frozen=True)
class AskingClip(Method):
    """A method that has CLIP's text tower: what :meth:`CDPruner.attach` returns.

    Attributes:
        method: chooses by relevance.
        clip: tells the relevance.
    """

    needs = frozenset({HIDDEN, TEXT, QUESTION, TOWER, GRIDS})
    tower_layers = (-1,)
    method: CDPruner
    clip: ByClip

    def __post_init__(self) -> None:
        """Take the name of the method: of a class elsewhere, here of an instance."""
        object.__setattr__(self, "name", self.method.name)
        object.__setattr__(self, "paper", self.method.paper)

    def select(self, ctx: DropContext) -> Kept:
        """The method's set, judged by CLIP."""
        return self.method.chosen(ctx, self.clip.relevance(ctx))


def scaled(relevance: Tensor) -> Tensor:
    """``[n]`` from just above 0 to 1: the authors' scaling, which leaves no token at 0.

    Equally relevant tokens get one number, whatever it is: the set does not depend on it.
    """
    low, high = relevance.aminmax()
    return (relevance - low + 1e-6) / (high - low).clamp_min(1e-8)
