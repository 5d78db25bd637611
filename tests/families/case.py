"""What tests need of a family beside its tiny model: a processor, and a tokenizer's words."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from v2drop_cli.prove.cases.case import Case


@dataclass(frozen=True)
class Tested(Case):
    """A family's case, and what its processor is made of.

    Attributes:
        tokens: what a tokenizer calls the placeholders and the like, by config attribute.
        named_tokens: special tokens that a tokenizer knows by a name of its own.
        processor: a tokenizer → the family's processor at the tiny configuration's sizes.
        specials: further tokens that its tokenizers have whole, such as a tile's marker.
        needs: packages that its processor imports.
        template: a chat template like the family's.
        alike: whether its processor takes several images only if they are cut alike.
        several: whether its processor takes more than one image.
        attention: what the matrix runs it in.
        asked: what its processor must be asked for by name.
    """

    tokens: dict[str, str] = field(default_factory=dict)
    named_tokens: dict[str, str] = field(default_factory=dict)
    processor: Callable[[Any], Any] | None = None
    specials: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    template: str = ""
    alike: bool = False
    several: bool = True
    attention: tuple[str, ...] = ("eager", "sdpa")
    asked: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What its processor takes."""
        every = {"image": True, "images": self.several, "video": self.video is not None}
        return tuple(kind for kind, taken in every.items() if taken)

    def make(self, attn: str, smooth: bool = False) -> Any:
        """The tiny model, to do with as you like: a copy, which is made faster than a model.

        Eager in place of sdpa, where transformers has none for it.
        """
        there = attn != "sdpa" or attn in self.attention
        key = (self.model, self.config, tuple(self.ids.items()), tuple(self.smooth.items()))
        return copy.deepcopy(_first(Made(self, attn if there else "eager", smooth, key)))


@dataclass(frozen=True)
class Made:
    """What a model is made of; equal where the models are."""

    case: Tested = field(compare=False)
    attn: str
    smooth: bool
    key: tuple[Any, ...]


@functools.cache
def _first(made: Made) -> Any:
    return Case.make(made.case, made.attn, made.smooth)


def extended(case: Case, **more: Any) -> Tested:
    """The package's case with what only tests need."""
    return Tested(**{f.name: getattr(case, f.name) for f in fields(case)}, **more)
