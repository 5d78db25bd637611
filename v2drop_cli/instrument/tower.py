"""What the vision tower shows: the input of a few of its blocks, kept until the decoder has run.

Keys and attention are made again from that input, as in the decoder. The tower may run before the
model is called: ``generate`` encodes the pixels first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.attention import softmax_rows
from v2drop_cli.instrument.hooks import Before
from v2drop_cli.models.base import Family
from v2drop_cli.models.projections import Tower


@dataclass(frozen=True, slots=True)
class TowerRow:
    """One block of the tower, for the alive vision tokens of one batch row.

    Attributes:
        how: what the family knows of its tower.
        module: the block.
        states: ``[pictures, patches, D]`` what entered it.
        picture: ``[n]`` long, the picture of each alive token.
        patch: ``[n]`` long, its patch.
        class_token: place of the class token among the patches, ``None`` without one.
    """

    how: Tower
    module: Any
    states: Tensor
    picture: Tensor
    patch: Tensor
    class_token: int | None

    def hidden(self) -> Tensor:
        """``[n, D]`` what entered the block at the tokens' patches."""
        return self.states[self.picture, self.patch]

    def keys(self) -> Tensor:
        """``[H, n, d]`` the block's keys of the tokens' patches."""
        return self._made("keys", self.hidden())

    def class_attention(self) -> Tensor:
        """``[H, n]`` how much each picture's class token attends to the tokens' patches.

        Raises:
            UnsupportedModelError: this tower has no class token.
        """
        if self.class_token is None:
            raise UnsupportedModelError("this model's vision tower has no class token")
        asked = self._made("queries", self.states[:, self.class_token])  # [H, pictures, d]
        pictures, patches = self.states.shape[:2]
        keys = self._made("keys", self.states.flatten(0, 1))
        keys = keys.view(len(keys), pictures, patches, -1)
        attention = self.how.projections.attention(self.module)
        scaling = self.how.projections.scaling(attention)
        rows = [
            softmax_rows(asked[:, i, None], keys[:, i], scaling, None)[:, 0]
            for i in range(pictures)
        ]
        return torch.stack(rows, dim=1)[:, self.picture, self.patch]

    def _made(self, what: str, states: Tensor) -> Tensor:
        how = self.how.projections
        make = how.keys if what == "keys" else how.queries
        made: Tensor = make(how.attention(self.module), how.norm(self.module)(states))
        return made


@dataclass(slots=True)
class TowerWatch:
    """The tower of one model in one context.

    Attributes:
        how: what the family knows of it.
        config: the whole model's.
        modules: the blocks that are watched, by number as asked for.
        seen: what entered them last.
    """

    how: Tower
    config: Any
    modules: dict[int, Any]
    seen: dict[int, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, family: Family, config: Any, model: Any, layers: Sequence[int]) -> TowerWatch:
        """Watch blocks ``layers`` of ``model``'s tower, negative ones counted from the end.

        Raises:
            UnsupportedModelError: the family does not say what is in its tower.
            InstrumentError: the tower has no such block.
        """
        tower, how = family.vision_tower(model), family.tower
        if how is None or tower is None:
            raise UnsupportedModelError(
                f"nobody has shown what the vision tower of {family.name} holds",
                hint="take a method that does not look into the vision tower",
            )
        why = how.refusal(config)
        if why is not None:
            raise UnsupportedModelError(f"no vision tower signals of {family.name}: {why}")
        blocks = how.layers(tower)
        for layer in layers:
            if not -len(blocks) <= layer < len(blocks):
                raise InstrumentError(f"the vision tower has {len(blocks)} blocks, no {layer}")
        return cls(how, config, {layer: blocks[layer] for layer in layers})

    def hooks(self) -> list[Before]:
        """One hook a block."""
        return [Before(module, self._noting(layer)) for layer, module in self.modules.items()]

    def _noting(self, layer: int) -> Any:
        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self.seen[layer] = args[0] if args else kwargs["hidden_states"]

        return note

    def row(self, layer: int, places: Tensor) -> TowerRow:
        """Block ``layer`` for the vision tokens ``places``, counted through the whole batch.

        Raises:
            InstrumentError: it was not watched, or the tower did not run in this context.
        """
        if layer not in self.seen:
            raise InstrumentError(
                f"nothing is known of block {layer} of the vision tower",
                hint="name it in Method.tower_layers, and encode the pixels inside the context",
            )
        states, module = self.seen[layer], self.modules[layer]
        patches = self.how.patches(self.config, states.shape[1]).to(states.device)
        places = places.to(states.device)
        picture, patch = places // len(patches), patches[places % len(patches)]
        return TowerRow(self.how, module, states, picture, patch, self.how.class_token(self.config))
