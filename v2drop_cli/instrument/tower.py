"""What the vision tower shows: the input of a few of its blocks, kept until the decoder has run.

Keys and attention are made again from that input, as in the decoder.

A forward of the model must see the encoding of its own pictures, and no other. There are two ways
to one:

    pixel_values         the tower runs inside the forward: one encoding, forgotten when it ends
    mm_encoder_outputs   the tower ran before, as in ``generate``: the encoding whose output this is

``generate`` encodes each picture once, and repeats the features for beams and sequences:

    rows of the prompt    [a, b], pictures A, B     encoded  A B
    rows of the forward   [a, a, b, b]              row 3 has picture 3 of A A B B: B, number 1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.attention import softmax_rows
from v2drop_cli.instrument.hooks import After, Before
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


# Per watched block, by number as asked for, what entered it while some pictures were encoded.
Encoding = dict[int, Tensor]
_ENCODED = "mm_encoder_outputs"
_IN_ORDER = "encode the pictures of all rows at once, in the order of the rows"


@dataclass(slots=True)
class TowerWatch:
    """The tower of one model in one context.

    Attributes:
        how: what the family knows of it.
        config: the whole model's.
        model: the module whose forward takes the ids and the pixels.
        tower: the vision tower.
        modules: the blocks that are watched, by number as asked for.
    """

    how: Tower
    config: Any
    model: Any
    tower: Any
    modules: dict[int, Any]
    _running: Encoding = field(default_factory=dict)
    _inside: list[Encoding] = field(default_factory=list)  # encoded since the forward began
    # By the tower's output, for as long as somebody has that.
    _by_output: Any = field(default_factory=WeakIdKeyDictionary)

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
        watched = {layer: blocks[layer] for layer in layers}
        return cls(how, config, family.multimodal(model), tower, watched)

    def hooks(self) -> list[Before | After]:
        """One hook a block, and those that tell where an encoding and a forward end."""
        return [
            Before(self.model, lambda args, kwargs: self._forget()),
            After(self.model, lambda output: self._forget(), always=True),
            After(self.tower, self._encoded, always=True),
            *(Before(module, self._noting(layer)) for layer, module in self.modules.items()),
        ]

    def _forget(self) -> None:
        """A forward begins or ends: what was encoded inside of the last one is not its own."""
        self._inside.clear()

    def _noting(self, layer: int) -> Any:
        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._running[layer] = args[0] if args else kwargs["hidden_states"]

        return note

    def _encoded(self, output: Any) -> None:
        """The tower is through with some pictures, or raised."""
        encoding, self._running = self._running, {}
        if output is None:
            return
        self._inside.append(encoding)
        last = output[0] if isinstance(output, tuple) else output.last_hidden_state
        self._by_output[last] = encoding

    def row(
        self, layer: int, vision: Tensor, row: int, order: Tensor, arguments: Mapping[str, Any]
    ) -> TowerRow:
        """Block ``layer`` for some vision tokens of one row.

        Args:
            layer: the block, by number as asked for.
            vision: ``[B, Q]`` bool, all vision tokens of this forward. Read on the host.
            row: the batch row.
            order: ``[n]`` long, the tokens, counted through this row's vision tokens.
            arguments: the model's forward's.

        Raises:
            InstrumentError: the block is not watched, or this forward's pictures were not encoded
                inside the context, by themselves.
        """
        if layer not in self.modules:
            raise InstrumentError(
                f"block {layer} of the vision tower is not watched",
                hint="name it in Method.tower_layers",
            )
        given = [out for out in (arguments.get(_ENCODED) or {}).values() if out is not None]
        states, module = self._own(given)[layer], self.modules[layer]
        patches = self.how.patches(self.config, states.shape[1]).to(states.device)
        tokens = vision.sum(dim=1).tolist()
        copies = _copies(tokens, len(states) * len(patches), given)
        places = order.to(states.device) + sum(tokens[: row - row % copies : copies])
        picture, patch = places // len(patches), patches[places % len(patches)]
        return TowerRow(self.how, module, states, picture, patch, self.how.class_token(self.config))

    def _own(self, given: Sequence[Any]) -> Encoding:
        """The encoding of the running forward's own pictures; ``given``, if they were before."""
        found = self._inside
        if given:
            last = [getattr(output, "last_hidden_state", None) for output in given]
            known = [None if output is None else self._by_output.get(output) for output in last]
            found = [encoding for encoding in known if encoding is not None]
        if len(found) != 1 or len(given) > 1:
            raise InstrumentError(
                "the vision tower did not encode this forward's pictures, all at once, inside the "
                "dropping() context",
                hint="pass pixel_values, or the whole output of get_image_features, called inside "
                "the context, as mm_encoder_outputs",
            )
        return found[0]


def _copies(tokens: list[int], encoded: int, given: Sequence[Any]) -> int:
    """How many rows there are of each prompt, one after the other.

    Rows of 36, 36, 72 and 72 vision tokens, of which 108 were encoded: 2 of each prompt.

    Args:
        tokens: vision tokens of each row.
        encoded: vision tokens that all encoded pictures stand for.
        given: the features, where they were encoded before the forward.

    Raises:
        InstrumentError: so many pictures do not make up these rows.
    """
    copies = max(1, sum(tokens) // encoded)
    repeated = [n for n in tokens[::copies] for _ in range(copies)]
    if sum(tokens) != copies * encoded or tokens != repeated:
        raise InstrumentError(
            f"this forward has {sum(tokens)} vision tokens, the pictures encoded for it {encoded}",
            hint=_IN_ORDER,
        )
    if copies > 1:
        flat = [part.flatten(0, -2) for part in given[0].pooler_output]
        rows = torch.split(torch.cat(flat), tokens)
        if not all(torch.equal(rows[i], rows[i - i % copies]) for i in range(len(rows))):
            raise InstrumentError(
                "rows of this forward that should be copies have other pictures", hint=_IN_ORDER
            )
    return copies
