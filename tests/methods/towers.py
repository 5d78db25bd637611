"""What methods that look into the vision tower are tested with: recorded signals, and made-up ones.

Both come as plain arrays per picture, from which a test computes a method's definition by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import v2drop_cli as v2drop
from tests.tiny_llava import PATCHES, make_llava
from v2drop_cli.methods.base import EMBEDDINGS, HIDDEN, TEXT, TOWER, DropContext, Method
from v2drop_cli.methods.registry import get_method


@dataclass
class Picture:
    """One crop as arrays, all of its tokens in order.

    Attributes:
        attention: by block, ``[H, m]`` how much the class token attends to each token.
        keys: ``[H, m, d]`` of block -2.
        features: ``[m, D]`` what the projector is given.
        projected: ``[m, D]`` what it makes of that.
        cls: ``[D]`` what the projector would be given of the class token.
        output: ``[D]`` the class token as the tower returns it.
    """

    attention: dict[int, np.ndarray]
    keys: np.ndarray
    features: np.ndarray
    projected: np.ndarray
    cls: np.ndarray
    output: np.ndarray


# Recorded ------------------------------------------------------------------------------------


def recorded(model: Any, pixels: torch.Tensor) -> list[Picture]:
    """The pictures of a tiny LLaVA, from what its own tower and projector return."""
    tower, projector = model.model.vision_tower, model.model.multi_modal_projector
    tower.set_attn_implementation("eager")
    with torch.no_grad():
        out = tower(pixels, output_hidden_states=True, output_attentions=True)
        block = tower.encoder.layers[-2]
        states = out.hidden_states[len(tower.encoder.layers) - 2]
        keys = block.self_attn.k_proj(block.layer_norm1(states))
        projected = projector(out.hidden_states[-2])
    heads = block.self_attn.num_heads
    return [
        Picture(
            attention={i: out.attentions[i][p, :, 0, 1:].numpy() for i in (0, 1, -2)},
            keys=keys[p, 1:].unflatten(-1, (heads, -1)).transpose(0, 1).numpy(),
            features=out.hidden_states[-2][p, 1:].numpy(),
            projected=projected[p, 1:].numpy(),
            cls=out.hidden_states[-2][p, 0].numpy(),
            output=out.last_hidden_state[p, 0].numpy(),
        )
        for p in range(len(pixels))
    ]


def run(method: str, inputs: dict[str, torch.Tensor], schedule: str) -> Any:
    """What a tiny LLaVA's first layer got, the trace, and the recorded pictures."""
    model = make_llava(4)
    entered: list[torch.Tensor] = []
    with torch.no_grad(), v2drop.dropping(model, schedule, method=method) as trace:
        handle = model.model.language_model.layers[0].register_forward_pre_hook(
            lambda module, args: entered.append(args[0])
        )
        model(**inputs)
        handle.remove()
    return entered[0], trace.events, recorded(model, inputs["pixel_values"]), model


def kept_by_row(events: Any, inputs: dict[str, torch.Tensor], token: int) -> list[list[int]]:
    """Per row, which of its vision tokens were kept, by number among them, in their new order."""
    rows = []
    for b, row in enumerate(inputs["input_ids"].tolist()):
        vision = [i for i, t in enumerate(row) if t == token]
        rows.append([vision.index(i) for i in events[0].kept[b]])
    return rows


def by_row(pictures: list[Picture], inputs: dict[str, torch.Tensor], token: int) -> list[Any]:
    """The pictures of each row."""
    counts = [(row.count(token)) // PATCHES for row in inputs["input_ids"].tolist()]
    waiting = iter(pictures)
    return [[next(waiting) for _ in range(count)] for count in counts]


# Made up -------------------------------------------------------------------------------------


def made_up(sizes: list[int], seed: int = 0, heads: int = 3, width: int = 8) -> list[Picture]:
    """Random pictures of so many tokens."""
    draw = np.random.default_rng(seed)

    def attention(m: int) -> np.ndarray:
        return (draw.random((heads, m)) / m).astype(np.float32)

    def states(*shape: int) -> np.ndarray:
        return draw.standard_normal(shape).astype(np.float32)

    return [
        Picture(
            attention={block: attention(m) for block in (-2, *range(8))},
            keys=states(heads, m, 4),
            features=states(m, width),
            projected=states(m, width),
            cls=states(width),
            output=states(width),
        )
        for m in sizes
    ]


@dataclass
class Row:
    """A row of made-up pictures, as signals.

    Attributes:
        pictures: all of its crops.
        images: how many crops each image has; one each, if not given.
        crop: for each token of the row its crop, -1 for a separator; one crop after the other, if
            not given.
        patch: its patch.
        patches: patches of a whole crop.
        question: ``[t, D]`` embeddings of the text after it.
        needs: what the method may ask for.
    """

    pictures: list[Picture]
    images: tuple[int, ...] = ()
    crop: list[int] = field(default_factory=list)
    patch: list[int] = field(default_factory=list)
    patches: int = 0
    question: np.ndarray | None = None
    needs: frozenset[str] = frozenset()
    layers: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        sizes = [len(p.features) for p in self.pictures]
        self.images = self.images or (1,) * len(sizes)
        self.crop = self.crop or [i for i, m in enumerate(sizes) for _ in range(m)]
        self.patch = self.patch or [i for m in sizes for i in range(m)]
        self.patches = self.patches or max(sizes)

    def tokens(self, name: str, **which: Any) -> torch.Tensor:
        """The array ``name`` of every token, zero for separators; tokens are the first axis."""
        seen = [0] * len(self.pictures)
        found = []
        for crop in self.crop:
            values = getattr(self.pictures[crop], name)
            values = values[which["layer"]] if "layer" in which else values
            if name in ("attention", "keys"):
                values = np.moveaxis(values, 1, 0)
            found.append(values[seen[crop]] if crop >= 0 else np.zeros_like(values[0]))
            seen[crop] += crop >= 0
        return torch.from_numpy(np.stack(found))

    # Signals
    def hidden(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        assert HIDDEN in self.needs
        return self.tokens("projected") if rows is None else torch.from_numpy(self.question)[rows]

    def text_after(self) -> torch.Tensor:
        assert TEXT in self.needs
        return torch.arange(len(self.question))

    def embeddings(self) -> torch.Tensor:
        assert EMBEDDINGS in self.needs
        states = self.tokens("projected")
        return torch.cat([torch.full_like(states[:3], torch.nan), states])

    def tower(self, layer: Any) -> Shown:
        assert TOWER in self.needs
        assert layer in self.layers
        return Shown(self, layer)


@dataclass
class Shown:
    row: Row
    layer: Any

    @property
    def crops(self):
        return self.row.images

    @property
    def patches(self):
        return self.row.patches

    def crop(self):
        return torch.tensor(self.row.crop)

    def patch(self):
        return torch.tensor(self.row.patch)

    def by_crop(self):
        crop = self.crop()
        return [(crop == i).nonzero()[:, 0] for i in range(len(self.row.pictures))]

    def hidden(self):
        assert self.layer == "projector"
        return self.row.tokens("features")

    def class_hidden(self):
        name = {"projector": "cls", "output": "output"}[self.layer]
        return torch.from_numpy(np.stack([getattr(p, name) for p in self.row.pictures]))

    def keys(self):
        assert self.layer == -2
        return self.row.tokens("keys").transpose(0, 1)

    def class_attention(self):
        return self.row.tokens("attention", layer=self.layer).T

    def project(self, features):
        return features * 2 + 1


def selected(method: str | Method, row: Row, k: int) -> Any:
    """The method's verdict on a made-up row."""
    method = get_method(method) if isinstance(method, str) else method
    row.needs, row.layers = method.needs, method.tower_layers
    positions = torch.arange(len(row.crop)) + 3
    return method.select(DropContext(0, k, positions, 0, row))
