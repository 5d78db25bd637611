"""Telling a picture that comes in several forwards from the pictures of several turns.

The schedule counts whole prompts, so a piece of one would be ranked without the rest. Chunked
prefill (``prefill_chunk_size``) gives a model such pieces. Two things tell them:

    tokens     … text, picture | picture, text …    its tokens go on where the last forward stopped,
               or one row break later (Mistral 3 and Pixtral have one after each row of tokens)
    features   two forwards were given a cut of features encoded beforehand, and no token was
               decoded between them; or such a forward ends in a picture, as no prompt does

A decoded token ends a turn, and so does a cache that was emptied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.cache import sequence_length

_ROW_BREAK = 1


@dataclass(frozen=True, slots=True)
class _End:
    """How a forward with vision tokens ended.

    Attributes:
        text_after: columns after its last vision token.
        cut: whether it was given a cut of features encoded beforehand.
    """

    text_after: int
    cut: bool


class PictureWatch:
    """Remembers, per cache, how the last forward with pictures ended."""

    def __init__(self) -> None:
        self._ends: WeakKeyDictionary[Any, _End] = WeakKeyDictionary()

    def look(
        self, cache: Any, width: int, mask: Tensor | None, arguments: Mapping[str, Any]
    ) -> None:
        """Note one forward. Called before it has work queued, because it reads the mask.

        Args:
            cache: the forward's KV cache, or ``None``: then nothing can follow.
            width: Q, its columns.
            mask: ``[B, Q]`` bool, its vision tokens; ``None`` without pictures.
            arguments: the model's forward's.

        Raises:
            InstrumentError: it goes on with a picture that the forward before began.
        """
        if cache is None:
            return
        before = self._ends.pop(cache, None) if sequence_length(cache) else None
        columns = [] if mask is None else mask.any(dim=0).nonzero()[:, 0].tolist()
        if mask is None or not columns:
            if before is not None and width > 1:  # text, in one turn with the picture or a chunk
                self._ends[cache] = _End(before.text_after + width, before.cut)
            return
        cut, text_after = _is_cut(arguments), width - 1 - columns[-1]
        near = before is not None and before.text_after + columns[0] <= _ROW_BREAK
        if near or (cut and (text_after == 0 or (before is not None and before.cut))):
            raise InstrumentError(
                "an image's tokens are spread over several forwards (chunked prefill)",
                hint="prefill each prompt in one forward (prefill_chunk_size=None), and decode a "
                "token between two turns on one cache",
            )
        self._ends[cache] = _End(text_after, cut)


def _is_cut(arguments: Mapping[str, Any]) -> bool:
    """Whether features came encoded and without the tower's output, as chunks get them."""
    encoded = arguments.get("mm_encoder_outputs")
    return isinstance(encoded, Mapping) and any(
        isinstance(output, Mapping) and output.get("last_hidden_state") is None
        for output in encoded.values()
    )
