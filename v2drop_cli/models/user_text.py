"""A user's words are words: ``</s>`` in a prompt is four characters, not the end of a turn.

Tokenizers look for their added tokens (ends, turns, tools, places for pictures) in the whole
text, whoever wrote it. A prompt that holds one is therefore tokenised twice: with a harmless
stand-in, for everything around it, and alone by a copy of the tokenizer that does not know them.

Tokenizers cut a text at added tokens first and read each stretch between two of them by itself.
So the stretch around the stand-in can be read anew with the user's words in it; all other ids
stay. That the copy reads the stand-in's stretch as the tokenizer did is checked each time; where
it does not, the prompt is refused.
"""

from __future__ import annotations

import copy
import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError

_STAND_IN = "harmless"  # ordinary letters in every vocabulary
# What a stretch lies between in the copy; private characters that no text should hold.
_ANCHOR = "\U0010fff0anchor\U0010fff1"


@dataclass(frozen=True, slots=True)
class _Control:
    """A tokenizer's control tokens.

    Attributes:
        names: by id, what they are written as.
        unknown: the id of any unknown character, or ``None``; as such it is no control token.
        size: tokens of the tokenizer when this was made; more may be added.
    """

    names: Mapping[int, str]
    unknown: int | None
    size: int

    def among(self, ids: list[int], text: str) -> list[str]:
        """Names of the control tokens in ``ids``, which stand for ``text``."""
        found = [self.names[i] for i in dict.fromkeys(ids) if i in self.names]
        unknown = self.names.get(self.unknown) if self.unknown is not None else None
        return [name for name in found if name != unknown or name in text]


# Both are slow to make for tokenizers with thousands of added tokens, and prompts are timed.
_controls: weakref.WeakKeyDictionary[Any, _Control] = weakref.WeakKeyDictionary()
_copies: weakref.WeakKeyDictionary[Any, tuple[int, Any, dict[int, int]]] = (
    weakref.WeakKeyDictionary()
)


def control_tokens(tokenizer: Any, prompt: str) -> list[str]:
    """The control tokens that ``tokenizer`` would find in ``prompt``, as it writes them."""
    control = _control(tokenizer)
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    return control.among(list(ids), prompt)


def _control(tokenizer: Any) -> _Control:
    known = _controls.get(tokenizer)
    if known is None or known.size != len(tokenizer):
        added = getattr(tokenizer, "added_tokens_decoder", {})
        names = {i: token.content for i, token in added.items() if _is_control(token)}
        known = _Control(names, getattr(tokenizer, "unk_token_id", None), len(tokenizer))
        _controls[tokenizer] = known
    return known


def _is_control(token: Any) -> bool:
    """Whether an added token is more than a word: ``<tool_call>``, not ``dog`` or blanks."""
    text = token.content.replace("\u2581", " ")  # sentencepiece's blank
    return bool(token.special or not (text.isspace() or text[:1].isalnum()))


def as_text(
    processor: Any, prompt: str, call: Callable[[Any, str], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """The tensors of ``prompt``, whose control tokens are read as text.

    Args:
        processor: the model's.
        prompt: the user's words, with control tokens in them.
        call: (processor, words) → the tensors of the whole turn.

    Raises:
        UsageError: this tokenizer cannot be made to.
    """
    tokenizer, words = processor.tokenizer, prompt.strip()
    listener = _Listener(tokenizer)
    listening = copy.copy(processor)
    listening.tokenizer = listener
    # Blanks around the words stay: templates and processors may strip them.
    tensors = dict(call(listening, prompt.replace(words, _STAND_IN, 1)))
    heard = [given for given in listener.heard if given[0].count(_STAND_IN) == 1]
    if getattr(tokenizer, "is_fast", False) and len(heard) == 1 and _ANCHOR not in prompt:
        stretch = _stretch(tokenizer, *heard[0])
        read = _read_alone(tokenizer, stretch, _STAND_IN)
        ids = tensors["input_ids"][0].tolist()
        stretch = stretch.behind(ids)
        if ids == stretch.ids and read == ids[stretch.first : stretch.end]:
            new = _read_alone(tokenizer, stretch, words)
            if not _control(tokenizer).among(new, words):
                return _spliced(tensors, stretch, new)
    names = ", ".join(map(repr, control_tokens(tokenizer, prompt)))
    raise UsageError(
        f"the prompt holds {names}, which this model's tokenizer does not read as text",
        hint="leave it out, or write it with a blank inside",
    )


class _Listener:
    """A tokenizer that notes what it is given."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __call__(self, text: Any = None, **options: Any) -> Any:
        self.heard += [(text, options)] if isinstance(text, str) else [(t, options) for t in text]
        return self._tokenizer(text, **options)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What lies between two control tokens of a text, with the stand-in in it.

    Attributes:
        text: its characters.
        ids: of the whole text.
        first, end: the stretch's own among ``ids``.
        opened, closed: whether a control token lies before and after it, or the text begins or
            ends there: some tokenizers put a blank before a text's first word.
    """

    text: str
    ids: list[int]
    first: int
    end: int
    opened: bool
    closed: bool

    def behind(self, whole: list[int]) -> _Stretch:
        """The same among the ids of a ``whole`` that ends in this text: Fuyu reads it alone."""
        lead = len(whole) - len(self.ids)
        if lead <= 0 or whole[lead:] != self.ids:
            return self
        return replace(self, ids=whole, first=self.first + lead, end=self.end + lead)


def _stretch(tokenizer: Any, text: str, options: Mapping[str, Any]) -> _Stretch:
    """The stretch around the stand-in of ``text``, which was tokenised with ``options``."""
    plain = {k: v for k, v in options.items() if not k.startswith("return_")}
    encoded = tokenizer(text, return_offsets_mapping=True, **plain)
    ids, places = list(encoded["input_ids"]), encoded["offset_mapping"]
    start, names = text.index(_STAND_IN), _control(tokenizer).names

    def is_control(i: int) -> bool:
        # As it is written: an unknown character has the id of a control token, too. What a
        # tokenizer adds of itself has no place in the text.
        left, right = places[i]
        return ids[i] in names and (left == right or text[left:right].strip() == names[ids[i]])

    marks = [i for i in range(len(ids)) if is_control(i)]
    inside = next(i for i, (left, right) in enumerate(places) if left <= start < right)
    before = max((i for i in marks if i < inside), default=-1)
    after = min((i for i in marks if i > inside), default=len(ids))
    left = places[before][1] if before >= 0 else 0
    closed = after < len(ids) and places[after][0] < places[after][1]
    right = places[after][0] if closed else len(text)
    return _Stretch(text[left:right], ids, before + 1, after, left > 0, closed)


def _read_alone(tokenizer: Any, stretch: _Stretch, words: str) -> list[int]:
    """Ids of the stretch with ``words`` for the stand-in, no control token known."""
    copied, kept = _copy_without_control_tokens(tokenizer)
    text = stretch.text.replace(_STAND_IN, words)
    text = _ANCHOR * stretch.opened + text + _ANCHOR * stretch.closed
    anchor = copied.token_to_id(_ANCHOR)
    read = copied.encode(text, add_special_tokens=False).ids
    return [kept.get(i, i) for i in read if i != anchor]


def _copy_without_control_tokens(tokenizer: Any) -> tuple[Any, dict[int, int]]:
    """The library's tokenizer under ``tokenizer`` with the anchor for its only control token.

    Other added tokens, words and blanks, are numbered anew there: with it comes what they were.
    """
    from tokenizers import AddedToken, Tokenizer

    size, copied, kept = _copies.get(tokenizer, (0, None, {}))
    if copied is None or size != len(tokenizer):
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        names = _control(tokenizer).names
        others = [token for token in state["added_tokens"] if token["id"] not in names]
        state |= {"added_tokens": others}
        state |= {"post_processor": None, "truncation": None, "padding": None}
        copied = Tokenizer.from_str(json.dumps(state))
        copied.add_special_tokens([AddedToken(_ANCHOR, normalized=False, special=True)])
        numbers: dict[str, int] = copied.get_vocab()
        kept = {numbers[token["content"]]: token["id"] for token in others}
        _copies[tokenizer] = (len(tokenizer), copied, kept)
    return copied, kept


def _spliced(tensors: dict[str, Tensor], stretch: _Stretch, new: list[int]) -> dict[str, Tensor]:
    """``tensors`` with ``new`` ids in the stretch; what goes with each id is as it was there."""
    length = len(stretch.ids)
    for name, tensor in tensors.items():
        if getattr(tensor, "shape", None) == (1, length):
            middle = tensor[:, stretch.first : stretch.first + 1].expand(1, len(new))
            if name == "input_ids":
                middle = torch.tensor([new], dtype=tensor.dtype)
            pieces = [tensor[:, : stretch.first], middle, tensor[:, stretch.end :]]
            tensors[name] = torch.cat(pieces, dim=1)
    return tensors
