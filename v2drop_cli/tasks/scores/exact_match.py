"""Exact match, as GQA and Hugging Face's ``evaluate`` have it: case and punctuation ignored.

Source: github.com/huggingface/evaluate, metrics/exact_match, with ``ignore_case`` and
``ignore_punctuation``, which lmms-eval sets for GQA. Spaces are made one here.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match(answer: str, right: Sequence[str]) -> float:
    """1 if the answer is one of those that are right, else 0.

    >>> exact_match("Blue  circle.", ["blue circle"]), exact_match("a blue circle", ["blue circle"])
    (1.0, 0.0)
    """
    return float(_plain(answer) in map(_plain, right))


def _plain(text: str) -> str:
    return " ".join(text.lower().translate(_PUNCTUATION).split())
