"""Words that the embedded model never learned.

Each word of what ``tiny`` was trained on is one token, so a word of several tokens is one that it
has never read: its answer to such a prompt means nothing. Other models spell words they know in
several tokens, and nothing can be said of them.
"""

from __future__ import annotations

import re

from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import DUMMY, Caveat, CaveatKind

_EMBEDDED = "tiny"


def unknown_words(loaded: LoadedModel, prompt: str) -> tuple[Caveat, ...]:
    """What to say of ``prompt`` if the embedded model cannot understand all of it."""
    if loaded.source != _EMBEDDED or loaded.weights == DUMMY:
        return ()
    words = dict.fromkeys(re.findall(r"\w+", prompt.lower()))
    unknown = [word for word in words if not _is_one_token(loaded, word)]
    if not unknown:
        return ()
    return (CaveatKind.UNKNOWN_WORDS.caveat(model=_EMBEDDED, words=", ".join(unknown)),)


def _is_one_token(loaded: LoadedModel, word: str) -> bool:
    """Alone at the start of the text, or after a space: these are two tokens."""
    tokenizer = getattr(loaded.processor, "tokenizer", loaded.processor)
    lengths = [len(tokenizer.tokenize(text)) for text in (word, f" {word}")]
    return min(lengths) == 1
