"""ANLS of DocVQA and ST-VQA (arXiv 1905.13648): how near the answer's letters come.

Source: equation 1 of the paper, and rrc.cvc.uab.es (task 17): of the right answers, the nearest
counts; 1 less the edit distance over the longer one's length, and 0 from a half on. Case is
ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

THRESHOLD = 0.5


def anls(answer: str, right: Sequence[str]) -> float:
    """Similarity to the nearest right answer, from 0 to 1.

    >>> anls("Helo", ["hello"]), anls("abcd", ["abxy"]), anls("", [""])
    (0.8, 0.0, 1.0)
    """
    return max(_similarity(answer.strip().lower(), one.strip().lower()) for one in right)


def _similarity(a: str, b: str) -> float:
    longer = max(len(a), len(b))
    far = edit_distance(a, b) / longer if longer else 0.0
    return 1 - far if far < THRESHOLD else 0.0


def edit_distance(a: str, b: str) -> int:
    """Letters to put in, take out or change to make one the other (Levenshtein).

    >>> edit_distance("kitten", "sitting")
    3
    """
    before = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        now = [i]
        for j, other in enumerate(b, 1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (one != other)))
        before = now
    return before[-1]
