"""VQA accuracy (Antol et al. 2015, arXiv 1505.00468): right as far as three people said so.

Source: visualqa.org/evaluation. Over all sets of nine of ten people, the mean of
``min(people who said it / 3, 1)``. Before that, answers are made alike as the page says: lower
case, no periods but in decimals, number words as digits, no articles, the apostrophe put back
into contractions, other punctuation to spaces (and to nothing between digits). The page's
reference code differs: of people who all agree it leaves the answers as they are, and it counts
two people with one answer as one where their records are equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_DIGITS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
_NUMBERS = _DIGITS | {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}
_ARTICLES = ("a", "an", "the")
_WITH_APOSTROPHES = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd
how'll how's i'm i've isn't it'd it'll ma'am might've mightn't must've mustn't needn't o'clock
oughtn't shan't should've shouldn't somebody'd somebody'll somebody's someone'd someone'll
someone's something'd something'll that's there'd there're there's they'd they'll they're they've
'twas wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd
who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
"""
_CONTRACTIONS = {word.replace("'", ""): word for word in _WITH_APOSTROPHES.split()}
_PERIOD = re.compile(r"\.(?!\d)")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[,](?=\d)")
_PUNCTUATION = re.compile(r"[^\w\s.':]|_")


def vqa_accuracy(answer: str, right: Sequence[str]) -> float:
    """The share of three people who gave the answer, on average over all sets without one person.

    >>> people = ["two"] * 2 + ["3"] * 8
    >>> round(vqa_accuracy("2", people), 3), vqa_accuracy("Three.", people)
    (0.6, 1.0)

    Two people said so: without one of them it is 1/3, twice; without another one 2/3, eight times.
    With fewer than four people, one is enough for all: there are no sets to take a mean of.
    """
    said, people = normalised(answer), [normalised(one) for one in right]
    same = people.count(said)
    if len(people) < 4:
        return float(same > 0)
    without = [min(1.0, (same - (one == said)) / 3) for one in people]
    return sum(without) / len(without)


def normalised(text: str) -> str:
    """The answer as the page makes it comparable.

    >>> normalised("The  two cats, dont!"), normalised("1,000.5"), normalised("U.S.")
    ("2 cats don't", '1000.5', 'us')
    """
    text = _BETWEEN_DIGITS.sub("", text.lower().strip())
    text = _PUNCTUATION.sub(" ", _PERIOD.sub("", text))
    words = (_NUMBERS.get(word, word) for word in text.split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
