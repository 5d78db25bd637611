"""What the decoder is given, for computing by hand what a drop before it should keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tests.tiny_llava import IMAGE
from v2drop_cli.methods.base import DropContext
from v2drop_cli.records import Grid

Array = Any  # float64


@dataclass
class Entering:
    """One row's signals, made up: vision tokens first, the question after them.

    Attributes:
        tokens: ``[n, D]`` the projected vision tokens.
        asked: ``[m, D]`` embeddings of the question.
        seen: how the tokens lie over the pixels, if the model's call tells.
        alive: which of the row's tokens are alive, if not all.
    """

    tokens: torch.Tensor
    asked: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    seen: tuple[Grid, ...] | None = None
    alive: torch.Tensor | None = None

    def context(self, n_keep: int, layer: int = 0) -> DropContext:
        return DropContext(layer, n_keep, torch.arange(len(self.tokens)), 0, self)  # type: ignore[arg-type]

    def hidden(self, rows=None):
        return torch.cat([self.tokens, self.asked])[rows] if rows is not None else self.tokens

    def text(self):
        return torch.arange(len(self.tokens), len(self.tokens) + len(self.asked))

    text_after = text

    def grids(self):
        return self.seen

    def order(self):
        return torch.arange(len(self.tokens)) if self.alive is None else self.alive


def drawn(n: int, width: int = 8, seed: int = 0) -> torch.Tensor:
    """``[n, width]`` random states around a common mean, as projected tokens lie."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator) + 0.5 * torch.randn(
        width, generator=generator
    )


def rows_of(
    model: Any, inputs: Mapping[str, Any]
) -> list[tuple[Array, list[int], list[int], list[int]]]:
    """Per batch row: what the decoder is given, and the columns of vision, text and question."""
    given: list[torch.Tensor] = []
    handle = model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: given.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    found = []
    for states, ids, mask in zip(
        given[0].double().numpy(),
        inputs["input_ids"].tolist(),
        inputs["attention_mask"].tolist(),
        strict=True,
    ):
        columns = [i for i, there in enumerate(mask) if there]
        vision = [i for i in columns if ids[i] == IMAGE]
        text = [i for i in columns if ids[i] != IMAGE]
        after = [i for i in text if vision and i > vision[-1]]
        found.append((states, vision, text, after))
    return found


def unit(states: Array) -> Array:
    """Each row at length 1."""
    return np.asarray(states) / np.linalg.norm(states, axis=-1, keepdims=True)


def best(scores: Sequence[float], k: int) -> list[int]:
    """The ``k`` highest, earlier ones first among equals, in ascending order."""
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return sorted(ranked[:k])
