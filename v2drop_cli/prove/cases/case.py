"""A family's tiny model, and how prompts for it are put together.

Positions of vision tokens come from here, where the prompts are written, never from the family
itself: whatever is proven with these prompts then also proves that the family finds its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

PAD, BOS, EOS = 0, 1, 2
FIRST_WORD, VOCABULARY = 10, 64  # ids 3 to 9 are for placeholders and the like

TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}


@dataclass(frozen=True)
class Piece:
    """One image or video in a prompt.

    Attributes:
        ids: its token ids, delimiters included.
        vision: which of them are droppable.
        kind: 1 image, 2 video: what M-RoPE processors mark as ``mm_token_type_ids``.
        tensors: what goes to the model, joined over pieces along dimension 0.
        marks: what `mm_token_type_ids` says of each id; if empty, the kind of droppable ones and 0.
    """

    ids: list[int]
    vision: list[bool]
    kind: int
    tensors: dict[str, torch.Tensor]
    marks: list[int] = field(default_factory=list)

    @property
    def types(self) -> list[int]:
        """What `mm_token_type_ids` says of each id."""
        return self.marks or [self.kind if yes else 0 for yes in self.vision]


def piece(ids: list[int], token: int, tensors: dict[str, torch.Tensor], kind: int = 1) -> Piece:
    """A piece whose droppable tokens are those equal to `token`."""
    return Piece(ids, [i == token for i in ids], kind, tensors)


@dataclass(frozen=True)
class Prompt:
    """One row: its token ids, the columns of droppable ones, kinds by column, what is shown."""

    ids: list[int]
    vision: list[int]
    types: list[int]
    pieces: list[Piece]


def join(pieces: Sequence[Piece]) -> dict[str, torch.Tensor]:
    """Tensors of all pieces of a batch, in order."""
    names = dict.fromkeys(name for p in pieces for name in p.tensors)
    return {n: torch.cat([p.tensors[n] for p in pieces if n in p.tensors]) for n in names}


Tensors = dict[str, torch.Tensor]
Rows = Sequence[Sequence[Piece]]  # what is shown, row by row
Maker = Callable[[int], Piece]
Drops = tuple[tuple[int, float | int], ...]  # per drop, its layer and the share or count kept


def schedule_text(drops: Drops) -> str:
    """``drops`` as ``dropping`` takes them."""
    return ",".join(f"{a}:{k}t" if isinstance(k, int) else f"{a}:{k}" for a, k in drops)


def _all_pieces(rows: Rows) -> Tensors:
    return join([p for row in rows for p in row])


def _language_layers(model: Any) -> Any:
    return model.model.language_model.layers


@dataclass(frozen=True)
class Case:
    """One family.

    Attributes:
        name: as registered, or of a variant.
        variant_of: a variant's family, as registered.
        model: the transformers class.
        config: (text values, token ids by config attribute) → a tiny configuration.
        ids: token ids of the prompts, by config attribute.
        image: seed → an image; different seeds may give different sizes.
        video: seed → a video, or None where the family has none.
        image_of_several: the same in a prompt with more than one, where that differs.
        mixed: whether the model takes images and videos in one forward.
        join: pieces of each prompt of a batch → the model's tensors.
        types: whether the model takes `mm_token_type_ids`.
        prefix: whether it takes `token_type_ids`, 0 for what attends both ways: the prompt.
        two_way: whether it takes them as 1 for what attends both ways: each picture.
        drops: (layer, share or count) of each drop.
        entry: the same for a schedule that begins with the decoder's input, at layer 0; ``None``
            where the family cannot drop there.
        smooth: text values under which a small change of the numbers is a small change of the
            answer. Of a model with experts: every token goes to all of them. Where tokens choose,
            a rounded number can make another choice, and nothing then compares with float32.
        numbered: whether transformers numbers pictures on through a batch, so that positions in
            a row depend on how many pictures the rows before it show.
        layers: model → decoder blocks, found without the family.
    """

    name: str
    model: Any
    config: Callable[[dict[str, Any], dict[str, Any]], Any]
    ids: dict[str, int]
    image: Maker
    video: Maker | None = None
    image_of_several: Maker | None = None
    mixed: bool = True
    join: Callable[[Rows], Tensors] = _all_pieces
    types: bool = False
    prefix: bool = False
    two_way: bool = False
    variant_of: str = ""
    drops: Drops = ((1, 0.5), (3, 0.5), (5, 1))
    entry: Drops | None = ((0, 0.5), (3, 0.5))
    smooth: Mapping[str, Any] = field(default_factory=dict)
    numbered: bool = False
    layers: Callable[[Any], Any] = _language_layers

    @property
    def family(self) -> str:
        """As registered."""
        return self.variant_of or self.name

    def make(self, attn: str, smooth: bool = False) -> Any:
        """A tiny random model, float32, eval; ``smooth`` for comparisons in low precision."""
        text = {**TEXT, **self.smooth} if smooth else TEXT
        return build(self.model, self.config(text, self.ids), attn)

    @property
    def schedule(self) -> str:
        """The drops as ``dropping`` takes them."""
        return schedule_text(self.drops)

    @property
    def shapes(self) -> dict[str, list[tuple[int, str]]]:
        """Batches by name: per row, how many words come first and what is shown."""
        second = "iv" if self.video and self.mixed else "ii"
        shapes = {
            "image": [(3, "i")],
            "images": [(2, "ii")],
            "ragged": [(3, "i"), (2, second), (9, ""), (11, "i")],
        }
        if self.video:
            shapes["video"] = [(2, "v")]
        if not self.mixed:
            shapes["ragged-video"] = [(3, "v"), (2, "vv"), (9, "")]
        return shapes

    def prompt(self, words: int, shown: str, seed: int) -> Prompt:
        """Words, what is shown with a word after each, more words."""
        draw = torch.Generator().manual_seed(seed)

        def text(n: int) -> list[int]:
            return torch.randint(FIRST_WORD, VOCABULARY, (n,), generator=draw).tolist()

        prompt = Prompt([BOS, *text(words)], [], [0] * (words + 1), [])
        for n, letter in enumerate(shown):
            new = self._maker(letter, shown)(seed * 3 + n)
            start = len(prompt.ids)
            prompt.ids.extend([*new.ids, *text(1)])
            prompt.vision.extend(start + i for i, yes in enumerate(new.vision) if yes)
            prompt.types.extend([*new.types, 0])
            prompt.pieces.append(new)
        tail = text(4)
        prompt.ids.extend(tail)
        prompt.types.extend([0] * len(tail))
        return prompt

    def _maker(self, letter: str, shown: str) -> Maker:
        if letter == "v":
            assert self.video is not None
            return self.video
        return (self.image_of_several if shown.count("i") > 1 else None) or self.image

    def prompts(self, shape: str) -> list[Prompt]:
        """The rows of a batch: one of :attr:`shapes`."""
        return [self.prompt(*row, seed) for seed, row in enumerate(self.shapes[shape])]

    def batch(self, prompts: Sequence[Prompt]) -> tuple[dict[str, torch.Tensor], list[list[int]]]:
        """The model's tensors, padded on the left, and each row's vision columns."""
        width = max(len(p.ids) for p in prompts)
        fills = [width - len(p.ids) for p in prompts]
        inputs = {
            "input_ids": torch.tensor(
                [[PAD] * f + p.ids for f, p in zip(fills, prompts, strict=True)]
            ),
            "attention_mask": torch.tensor(
                [[0] * f + [1] * len(p.ids) for f, p in zip(fills, prompts, strict=True)]
            ),
        }
        if self.types:
            types = [[0] * f + p.types for f, p in zip(fills, prompts, strict=True)]
            inputs["mm_token_type_ids"] = torch.tensor(types)
        if self.prefix:
            inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        if self.two_way:
            types = [[0] * f + p.types for f, p in zip(fills, prompts, strict=True)]
            inputs["token_type_ids"] = torch.tensor(types)
        if any(p.pieces for p in prompts):
            inputs |= self.join([p.pieces for p in prompts])
        vision = [[f + i for i in p.vision] for f, p in zip(fills, prompts, strict=True)]
        return inputs, vision


def build(model_class: Any, config: Any, attn: str) -> Any:
    """Random weights under a fixed seed; no end token, for an early stop would compare nothing."""
    torch.manual_seed(0)
    model = model_class(config).eval()
    for weight in model.parameters():
        if weight.dim() > 1 and not weight.any():  # a projector of zeros would show no picture
            torch.nn.init.normal_(weight, std=TEXT["initializer_range"])
    tower = getattr(config, "vision_config", None)
    # The one tower here that has no attention to choose a kernel for.
    of_decoder = tower is not None and tower.model_type == "resnet"
    model.set_attn_implementation({"text_config": attn} if of_decoder else attn)
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = None
    return model


def noise(*shape: int, seed: int) -> torch.Tensor:
    """Random numbers of a seed of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
