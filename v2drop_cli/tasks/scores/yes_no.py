"""Yes or no, as POPE judges it (arXiv 2305.10355): accuracy, precision, recall, F1, yes-ratio.

Source: POPE's evaluate.py. Of an answer's first sentence, one that holds "no" or "not" is no,
any other is yes. The yes-ratio is that of the model's answers, as the paper has it; lmms-eval
counts the right answers instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

YES, NO = "yes", "no"
_DENYING = ("No", "no", "not", "NO", "Not")


def yes_no(answer: str, right: Sequence[str]) -> float:
    """1 if answer and label say the same.

    >>> yes_no("No, there is none.", ["no"]), yes_no("There is a dog. It is not red.", ["yes"])
    (1.0, 1.0)
    """
    return float(said(answer) == said(right[0]))


def said(answer: str) -> str:
    """``yes`` or ``no``.

    >>> said("Yes"), said("there is not"), said("nothing")
    ('yes', 'no', 'yes')
    """
    first = answer.partition(".")[0].replace(",", " ")
    return NO if any(word in _DENYING for word in first.split()) else YES


def is_yes_or_no(label: str) -> bool:
    """Whether a right answer is one that this metric can be about.

    >>> is_yes_or_no("Yes."), is_yes_or_no("no, none"), is_yes_or_no("blue"), is_yes_or_no("")
    (True, True, False, False)
    """
    words = label.replace(",", " ").replace(".", " ").lower().split()
    return bool(words) and words[0] in (YES, NO)


def yes_no_details(pairs: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Precision, recall and F1 of "yes", and the share of answers that are "yes".

    What would be a division by nothing is 0, as in POPE.

    Args:
        pairs: of each row, what was said and what is right.

    >>> found = yes_no_details([("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no")])
    >>> found["precision"], found["recall"], found["f1"], found["yes_ratio"]
    (0.5, 0.5, 0.5, 0.5)
    """
    counted = [(said(answer) == YES, said(right) == YES) for answer, right in pairs]
    true = sum(answer and right for answer, right in counted)
    claimed = sum(answer for answer, _ in counted)
    there = sum(right for _, right in counted)
    precision, recall = _share(true, claimed), _share(true, there)
    f1 = _share(2 * precision * recall, precision + recall)
    ratio = _share(claimed, len(counted))
    return {"precision": precision, "recall": recall, "f1": f1, "yes_ratio": ratio}


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
