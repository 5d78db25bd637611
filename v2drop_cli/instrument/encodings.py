"""What pictures were encoded from, for a forward that is handed their features alone.

From transformers 5.20 on, ``generate`` encodes the pictures before the forward, and what tells
their sizes goes no further:

    generate(pixel_values, image_grid_thw, input_ids)
        get_image_features(pixel_values, image_grid_thw)     noted here, for as long as
        forward(input_ids, mm_encoder_outputs)               somebody has its output

These are methods, no modules, so there is nothing to hook. While a context whose method looks at
grids is open, the model has a :class:`_Noting` in the place of each of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from v2drop_cli.models.base import Family
from v2drop_cli.records import Grid

_ENCODERS = ("get_image_features", "get_video_features")
_ENCODED = "mm_encoder_outputs"
_LEFT = "video_compression_mask"  # which features of videos become tokens, where not all do


@dataclass(frozen=True, slots=True)
class _Note:
    """One encoding.

    Attributes:
        arguments: what it was made from.
        tokens: vision tokens that its features stand for.
    """

    arguments: Mapping[str, Any]
    tokens: int


@dataclass(slots=True)
class Encodings:
    """The encodings of one context whose output somebody still has."""

    _notes: Any = field(default_factory=WeakIdKeyDictionary)  # by the tower's last states

    def note(self, arguments: Mapping[str, Any], output: Any) -> None:
        """Keep the ``arguments`` of an encoder as long as its ``output`` lives."""
        states, features = _states(output), _features(output)
        if states is not None and features is not None:
            parts = [features] if isinstance(features, Tensor) else features
            tokens = sum(part.flatten(0, -2).shape[0] for part in parts)
            given = {name: value for name, value in arguments.items() if value is not None}
            self._notes[states] = _Note(given, tokens)

    def grids(
        self, family: Family, config: Any, arguments: Mapping[str, Any], row: int
    ) -> tuple[Grid, ...] | None:
        """How the vision tokens of a batch row lie over the pixels; ``None`` if it is not known.

        Args:
            family: how to talk to the model.
            config: the model's.
            arguments: of the running forward.
            row: number of the batch row.
        """
        arguments = {name: value for name, value in arguments.items() if value is not None}
        encoded, copies = arguments.get(_ENCODED), 1
        if encoded is not None:
            outputs = encoded.values() if isinstance(encoded, Mapping) else [encoded]
            states = [_states(out) for out in outputs if out is not None]
            found = [None if known is None else self._notes.get(known) for known in states]
            notes = [note for note in found if note is not None]
            if not notes or len(notes) < len(found):
                return None
            left = arguments.get(_LEFT)
            unused = 0 if left is None else int((~left.bool()).sum())
            encoded_tokens = sum(note.tokens for note in notes) - unused
            copies = _copies(family, config, arguments, encoded_tokens)
            if not copies:
                return None
            for note in notes:
                arguments |= note.arguments
            arguments["input_ids"] = arguments["input_ids"][::copies]
        if any(name not in arguments for name in family.grid_tensors):
            return None
        return family.vision_tokens(config, arguments).grids[row // copies]


def _states(output: Any) -> Tensor | None:
    """What tells one encoding from all others: the tower's last states."""
    found = getattr(output, "last_hidden_state", None)
    if found is None:  # Granite 4 Vision gives those of all layers alone
        found = (getattr(output, "hidden_states", None) or [None])[-1]
    return found if isinstance(found, Tensor) else None


def _features(output: Any) -> Any:
    """What has a row for every vision token, in one tensor or several."""
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None:
        return pooled
    added = getattr(output, "deepstack_features", None)
    if added:  # Granite 4 Vision: for each of some layers, its number and features of each picture
        return added[0][1]
    return _states(output)  # Llama 4: its tower's states are what is projected


def _copies(family: Family, config: Any, arguments: Mapping[str, Any], encoded: int) -> int:
    """How many rows there are of each prompt, side by side, as for beams; 0 where it is unclear."""
    mask = family.vision_mask(config, arguments)
    counts = [] if mask is None else mask.sum(dim=1).tolist()
    copies = sum(counts) // max(1, encoded)
    if not copies or sum(counts) != copies * encoded:
        return 0
    repeated = [count for count in counts[::copies] for _ in range(copies)]
    return copies if repeated == counts else 0


class _Noting:
    """Stands in for a method of ``module`` that encodes pictures, and notes what it is given.

    A copy of the module that is made meanwhile gets a copy of this, which calls the copy's own
    method, and whose notes nobody reads.
    """

    def __init__(self, module: nn.Module, name: str, encodings: Encodings) -> None:
        self.module, self.name, self.encodings = module, name, encodings

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the method: ``generate`` picks its arguments by it."""
        return inspect.signature(self._method())

    def _method(self) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(type(self.module), self.name)
        return method.__get__(self.module)  # type: ignore[no-any-return]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        method = self._method()
        output = method(*args, **kwargs)
        given = inspect.signature(method).bind_partial(*args, **kwargs)
        self.encodings.note(given.arguments, output)
        return output


@contextmanager
def noting(model: nn.Module) -> Iterator[Encodings]:
    """Note what the encoders of ``model`` are given for the duration; as before on exit."""
    encodings, base = Encodings(), getattr(model, "base_model", model)
    names = [n for n in _ENCODERS if hasattr(type(base), n) and n not in vars(base)]
    for name in names:
        setattr(base, name, _Noting(base, name, encodings))
    try:
        yield encodings
    finally:
        for name in names:
            delattr(base, name)
