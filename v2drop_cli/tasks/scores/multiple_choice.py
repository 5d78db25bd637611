"""Multiple choice: which letter an answer means.

Source: ``parse_multi_choice_response`` of MMMU (arXiv 2311.16502), which most harnesses share:
a letter in brackets, else a letter alone, else the words of a choice; the last one where there are
several. MMMU draws at random where nothing is found; here that is wrong, so that a score is no
matter of luck.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2drop_cli.tasks.rows import LETTERS

_FORMS = (r"\(({letters})\)", r"(?<!\w)({letters})(?=[.:)])", r"(?<![\w'])({letters})(?![\w'])")
_LONE = re.compile(r"\s*\(?([A-Za-z])\)?[.:]?\s*")


def multiple_choice(answer: str, right: str, choices: Sequence[str]) -> float:
    """1 if the answer means the letter ``right``, else 0.

    >>> multiple_choice("The answer is (B).", "B", ["cat", "dog"])
    1.0
    >>> multiple_choice("a dog", "B", ["cat", "dog"]), multiple_choice("A cow", "B", ["cat", "dog"])
    (1.0, 0.0)
    """
    return float(letter(answer, choices) == right)


def letter(answer: str, choices: Sequence[str]) -> str | None:
    """The letter that the answer means; ``None`` for none.

    >>> letter("b", ["cat", "dog"]), letter("B. dog", ["cat", "dog"]), letter("?", ["cat", "dog"])
    ('B', 'B', None)
    """
    letters = LETTERS[: len(choices)]
    lone = _LONE.fullmatch(answer)
    if lone is not None:
        found = lone.group(1).upper()
        return found if found in letters else None
    for form in _FORMS[:2]:
        told: list[str] = re.findall(form.format(letters=f"[{letters}]"), answer)
        if told:
            return told[-1]
    words = answer.lower()
    places = [words.rfind(choice.lower()) for choice in choices]
    if max(places) >= 0:
        # Of choices at one place, "red" and "red circle", the longer one is meant.
        best = max(range(len(choices)), key=lambda i: (places[i], len(choices[i])))
        return letters[best]
    told = re.findall(_FORMS[2].format(letters=f"[{letters}]"), answer)
    return told[-1] if told else None
