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
from v2drop_cli.instrument.hooks import After, Before
from v2drop_cli.instrument.tower_merging import PatchMerging
from v2drop_cli.instrument.tower_row import RowCrops, TowerRow, project, settled
from v2drop_cli.methods.base import CLASS_TOKEN, Method, TowerLayer
from v2drop_cli.models.base import Family
from v2drop_cli.models.projections import Encoded, Layout, Tower

# Per watched block, by number, what entered it while some pictures were encoded.
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
        projector: what is between the tower and the decoder.
        layers: what the method looks at, as it asks for it.
        modules: the blocks that are watched for that, by number.
        merging: what merges patches in it, for a method that does.
    """

    how: Tower
    config: Any
    model: Any
    tower: Any
    projector: Any
    layers: tuple[TowerLayer, ...]
    modules: dict[int, Any]
    merging: PatchMerging | None = None
    _running: Encoding = field(default_factory=dict)
    # Encoded since the forward began, each with what the tower returned.
    _inside: list[tuple[Encoding, Tensor]] = field(default_factory=list)
    # By the tower's output, for as long as somebody has that.
    _by_output: Any = field(default_factory=WeakIdKeyDictionary)

    @classmethod
    def of(cls, family: Family, config: Any, model: Any, method: Method) -> TowerWatch:
        """Watch the blocks of ``model``'s tower that ``method`` looks into.

        Raises:
            UnsupportedModelError: the family does not say what is in its tower, or the tower has
                no class token and the method needs one.
            InstrumentError: the tower has no such block.
        """
        how, tower = tower_of(family, config, method), family.vision_tower(model)
        if tower is None:
            raise _unknown_tower(family)
        layers, blocks = tuple(method.tower_layers), how.layers(tower)
        # What the projector is given settles which tile a token is of, where no call tells.
        wanted = (*layers, "projector") if how.tiled else layers
        watched = {block: blocks[block] for block in _numbers(wanted, how, config, len(blocks))}
        projector, multimodal = family.projector(model), family.multimodal(model)
        merging = None
        if method.merges_patches is not None:
            merging = PatchMerging.of(how, config, tower, method)
        return cls(how, config, multimodal, tower, projector, layers, watched, merging)

    def hooks(self) -> list[Before | After]:
        """One hook a block, and those that tell where an encoding and a forward end."""
        return [
            Before(self.model, lambda args, kwargs: self._forget()),
            After(self.model, lambda output: self._forget(), always=True),
            After(self.tower, self._encoded, always=True),
            *([] if self.merging is None else self.merging.hooks()),  # before they are looked at
            *(Before(module, self._noting(layer)) for layer, module in self.modules.items()),
        ]

    def _forget(self) -> None:
        """A forward begins or ends: what was encoded inside of the last one is not its own."""
        self._inside.clear()

    def _noting(self, block: int) -> Any:
        def note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._running[block] = args[0] if args else kwargs["hidden_states"]

        return note

    def _encoded(self, output: Any) -> Any:
        """The tower is through with some pictures, or raised."""
        encoding, self._running = self._running, {}
        if self.merging is not None:
            output = self.merging.restored(output)
        if output is None:
            return None
        last = output[0] if isinstance(output, tuple) else output.last_hidden_state
        self._inside.append((encoding, last))
        self._by_output[last] = encoding
        return output

    def row(
        self, layer: TowerLayer, vision: Tensor, row: int, order: Tensor, call: Mapping[str, Any]
    ) -> TowerRow:
        """What is at ``layer`` for some vision tokens of one row.

        Args:
            layer: a block, ``"projector"`` or ``"output"``, as the method asks for it.
            vision: ``[B, Q]`` bool, all vision tokens of this forward. Read on the host.
            row: the batch row.
            order: ``[n]`` long, the tokens, counted through this row's vision tokens.
            call: the arguments of the model's forward.

        Raises:
            InstrumentError: the layer is not watched, or this forward's pictures were not encoded
                inside the context, by themselves.
        """
        if layer not in self.layers:
            raise InstrumentError(
                f"{_called(layer)} of the vision tower is not watched",
                hint="name it in Method.tower_layers",
            )
        given = [out for out in (call.get(_ENCODED) or {}).values() if out is not None]
        encoding, last = self._own(given)
        states, module = self._states(layer, encoding, last)
        handed = self.how.patches(self.config, states.shape[1])
        tokens = vision.sum(dim=1).tolist()
        layouts = self.how.layouts(self.config, Encoded(call, tokens, len(states), len(handed)))
        copies = _copies(tokens, _length(layouts), given)
        layout = layouts[0]
        if len(layouts) > 1:
            features = torch.cat(_feature_rows(given, tokens)[::copies])
            entered = self._states("projector", encoding, last)[0]
            entered = entered[:, handed.to(entered.device)]
            layout = settled(layouts, project(self.projector, entered), features)
        start = sum(tokens[: row - row % copies : copies])
        crops = RowCrops.of(layout, start, tokens[row], order.to(states.device), handed)
        pictures = slice(crops.first, crops.first + sum(crops.counts))
        token = self.how.class_token(self.config)
        merged = None if self.merging is None else self.merging.merged(last).of(pictures)
        how, own = self.how.projections, states[pictures]
        return TowerRow(how, module, self.projector, own, crops, token, merged)

    def _states(self, layer: TowerLayer, encoding: Encoding, last: Tensor) -> tuple[Tensor, Any]:
        """``[pictures, patches, D]`` what entered ``layer``, and the block, if it is one."""
        if layer == "output":
            return last, None
        if layer != "projector":
            block = _number(layer, len(self.how.layers(self.tower)))
            return self._long(encoding[block], last), self.modules[block]
        wanted = self.how.features(self.config)
        parts = [last if i is None else self._long(encoding[i], last) for i in wanted]
        if len(parts) == 1:
            return parts[0], None
        return torch.cat([part.to(last.device) for part in parts], dim=-1), None

    def _long(self, states: Tensor, last: Tensor) -> Tensor:
        """What entered a block, with merged patches in all their places."""
        return states if self.merging is None else self.merging.merged(last).full(states)

    def _own(self, given: Sequence[Any]) -> tuple[Encoding, Tensor]:
        """The encoding of the running forward's own pictures; ``given``, if they were before."""
        found = self._inside
        if given:
            last = [getattr(output, "last_hidden_state", None) for output in given]
            known = [(self._by_output.get(x), x) for x in last if x is not None]
            found = [(encoding, x) for encoding, x in known if encoding is not None]
        if len(found) != 1 or len(given) > 1:
            raise InstrumentError(
                "the vision tower did not encode this forward's pictures, all at once, inside the "
                "dropping() context",
                hint="pass pixel_values, or the whole output of get_image_features, called inside "
                "the context, as mm_encoder_outputs",
            )
        return found[0]


def tower_of(family: Family, config: Any, method: Method) -> Tower:
    """What ``family`` knows of its vision tower, if ``method`` can look into it.

    Raises:
        UnsupportedModelError: it knows nothing of this one, or the tower has no class token and
            the method needs one.
    """
    how = family.tower
    if how is None:
        raise _unknown_tower(family)
    why = how.refusal(config)
    if why is not None:
        raise UnsupportedModelError(f"no vision tower signals of {family.name}: {why}")
    if CLASS_TOKEN in method.needs and how.class_token(config) is None:
        raise no_class_token(config)
    return how


def _unknown_tower(family: Family) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"nobody has shown what the vision tower of {family.name} holds",
        hint="take a method that does not look into the vision tower",
    )


def no_class_token(config: Any) -> UnsupportedModelError:
    """The error for a method that asks for what a tower like SigLIP does not have."""
    name = config.vision_config.model_type
    return UnsupportedModelError(
        f"this model's vision tower ({name}) has no class token",
        hint="take a method that needs none, for example v2drop, fastv, divprune or random",
    )


def _called(layer: TowerLayer) -> str:
    return f"the {layer}" if isinstance(layer, str) else f"block {layer}"


def _number(layer: int, count: int) -> int:
    """Block ``layer`` of ``count``, negative ones counted from the end, from 0 on.

    Raises:
        InstrumentError: there is no such block.
    """
    if not -count <= layer < count:
        raise InstrumentError(f"the vision tower has {count} blocks, no {layer}")
    return layer % count


def _numbers(layers: Sequence[TowerLayer], how: Tower, config: Any, count: int) -> set[int]:
    """The blocks whose input is wanted for ``layers``."""
    found = {_number(layer, count) for layer in layers if not isinstance(layer, str)}
    if "projector" in layers:
        wanted = [i for i in how.features(config) if i is not None]
        if any(i >= count for i in wanted):
            raise UnsupportedModelError(
                "this model projects what leaves the tower's last block, before the tower's own "
                "last norm, and nobody keeps that",
                hint="take a method that does not look into the vision tower",
            )
        found.update(wanted)
    return found


def _length(layouts: Sequence[Layout]) -> int:
    """Vision tokens of all encoded images.

    Raises:
        InstrumentError: no layout fits this forward.
    """
    if not layouts:
        raise InstrumentError(
            "the vision tokens of this forward are not those of the pictures encoded for it",
            hint=_IN_ORDER,
        )
    return sum(len(image.crop) for image in layouts[0])


def _feature_rows(given: Sequence[Any], tokens: list[int]) -> tuple[Tensor, ...]:
    """Per row of this forward, ``[tokens, D]`` the features that were made before it."""
    flat = [part.flatten(0, -2) for part in given[0].pooler_output]
    rows: tuple[Tensor, ...] = torch.split(torch.cat(flat), tokens)
    return rows


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
        rows = _feature_rows(given, tokens)
        if not all(torch.equal(rows[i], rows[i - i % copies]) for i in range(len(rows))):
            raise InstrumentError(
                "rows of this forward that should be copies have other pictures", hint=_IN_ORDER
            )
    return copies
