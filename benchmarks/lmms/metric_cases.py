"""Made answers for each metric: the cases that its source publishes, and some hundred of its kind.

The same ones in every run. What is right or wrong about them is not said here: two ways of scoring
them are held against each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

EACH = 300
"""Made cases of a metric, beside those that are published."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer.

    Attributes:
        answer: what was said.
        right: what is right.
        choices: what it is one of.
    """

    answer: str
    right: tuple[str, ...]
    choices: tuple[str, ...] = ()


def cases(metric: str) -> list[Case]:
    """All cases of one metric, each once."""
    makers = {
        "exact_match": _exact_match,
        "vqa": _vqa,
        "multiple_choice": _multiple_choice,
        "yes_no": _yes_no,
        "relaxed": _relaxed,
        "anls": _anls,
    }
    return list(dict.fromkeys(makers[metric](random.Random(metric))))


_WORDS = ("red", "blue circle", "2", "two", "left", "a cat", "New York", "t-shirt", "yes", "10.5")


def _dressed(word: str, draw: random.Random) -> str:
    """The word as somebody may write it."""
    forms = (
        word,
        word.upper(),
        word.capitalize(),
        f"{word}.",
        f"{word}!",
        f" {word} ",
        f"{word}\n",
        word.replace(" ", "  "),
        f"the {word}",
        f'"{word}"',
        word.replace("-", " "),
        f"{word}, I think",
    )
    return draw.choice(forms)


def _exact_match(draw: random.Random) -> Iterator[Case]:
    for _ in range(EACH):
        right = draw.choice(_WORDS)
        said = right if draw.random() < 0.7 else draw.choice(_WORDS)
        yield Case(_dressed(said, draw), (_dressed(right, draw),))


# What each rule of visualqa.org/evaluation and its reference code is about.
_VQA = (
    "two", "2", "yes", "no", "don't", "dont", "none", "0", "10.5", "1,000", "1000", "o'clock",
    "oclock", "it's", "its", "man's", "left/right", "t-shirt", "U.S.", "10:30", "50%", "$5",
    "what?!", "cat,", "cats", "a", "an", "wont", "isn't", "tea;cup", "yes.", "hadnt've", "couldve",
    "e.g.", ".5", "id've", "lets", "let's", "somebody'd", "black&white", "#1", "a+b", "5:00 pm",
    "1,000-page", "ow's'at", "the cat", "red and blue", "black & white", "man's hat", "red, blue",
    "stop sign", "(none)", "rock'n'roll", "snake_case",
)  # fmt: skip


def _alike(word: str) -> Iterator[str]:
    """Ways to write a word that one normalisation may find alike, and another not."""
    yield from (word, f"The {word}!", word.replace("'", ""), word.replace("'", " "))
    bare = [letter if letter.isalnum() or letter in "'.: " else " " for letter in word]
    yield from ("".join(bare), "".join(bare).replace(" ", ""), word.replace(".", ""))


def _vqa(draw: random.Random) -> Iterator[Case]:
    for word in _VQA:
        yield Case(word, (word,) * 4 + ("something else",) * 6)
        yield from (Case(word, (other,) * 10) for other in _alike(word))
    for _ in range(EACH):
        known = draw.sample(_VQA, 3)
        people = draw.choices([*known, *(_dressed(one, draw) for one in known)], k=10)
        yield Case(_dressed(draw.choice(known), draw), tuple(people))


_LISTS = (
    ("a red circle", "a blue circle", "a circle", "nothing"),
    ("12", "24", "36", "48"),
    ("Paris", "Rome", "Berlin"),
    ("the left one", "the right one"),
)
_SAID = (
    "{L}", "{l}", "({L})", "({l})", "{L}.", "{L}:", "{L})", "{L}: {C}", "{L}. {C}", "({L}) {C}",
    "{C}", "{C}.", "It is {C}", "The answer is {L}", "The answer is {L}.", "The answer is ({L}).",
    "Answer: {L}", "{L} or {M}", "({M}) is wrong, so ({L})", "{M} is wrong, so {L}", "**{L}**",
    "option {L}", "I think that it is {C} because of the light", "A picture of {C}", "", "none",
    "I cannot say what this picture shows", "E", "{D}, and not {C}, as one can see there",
)  # fmt: skip


def _multiple_choice(draw: random.Random) -> Iterator[Case]:
    for _ in range(EACH):
        choices = draw.choice(_LISTS)
        one, other = draw.sample(range(len(choices)), 2)
        letter, another = "ABCD"[one], "ABCD"[other]
        said = draw.choice(_SAID).format(
            L=letter, l=letter.lower(), M=another, C=choices[one], D=choices[other]
        )
        yield Case(said, (draw.choice((letter, letter, another)),), choices)


_ANSWERS = (
    "yes", "Yes", "YES", "Yes.", "Yes, there is.", "yes,", " yes", "no", "No", "NO", "No.", "no,",
    "No, there is none.", "There is not.", "There is a dog.", "not that I see", "Not", "nobody",
    "There are none", "yes. There is no cat", "No dogs", "I do not know", "", "maybe", "nope",
    "Yes, there is no doubt", "it isn't there",
)  # fmt: skip


def _yes_no(draw: random.Random) -> Iterator[Case]:
    for answer in _ANSWERS:
        for right in ("yes", "no"):
            yield Case(answer, (right,))


_NUMBERS = (0.0, 1.0, 7.0, 12.5, 95.0, 100.0, 1000.0, -20.0, 0.12, 2019.0)


def _relaxed(draw: random.Random) -> Iterator[Case]:
    for answer, right in (("105", "100"), ("105.1", "100"), ("95", "100"), ("94.9", "100")):
        yield Case(answer, (right,))
    words = ("Blue", "blue", "Yes", "[2010, 2014]", "1,000", "$5", "5 million", "nan", "inf")
    for _ in range(EACH):
        number = draw.choice(_NUMBERS)
        near = number * draw.choice((1.0, 1.04, 0.96, 1.06, 0.94, -1.0))
        forms = (f"{near:g}", f"{near:g}%", f"{near * 100:g}%", f" {near:g} ", f"{near:,.0f}")
        wanted = draw.choice((f"{number:g}", f"{number:g}%", draw.choice(words)))
        yield Case(draw.choice((*forms, draw.choice(words))), (wanted,))


_TEXTS = (
    "hello", "helo", "ITC Limited", "12/05/1998", "$ 1,200.00", "Dr. Smith", "a", "", "new york",
    "University of California", "01-800-4747", "émile", "2 a", "paul  cook",
)  # fmt: skip


def _anls(draw: random.Random) -> Iterator[Case]:
    # ST-VQA's and DocVQA's own examples of what the metric is for.
    yield Case("Hello", ("hello",))
    yield Case("", ("",))
    for _ in range(EACH):
        right = draw.choices(_TEXTS, k=draw.choice((1, 1, 2, 3)))
        yield Case(_misread(draw.choice(right), draw), tuple(right))


def _misread(text: str, draw: random.Random) -> str:
    """The text with some letters wrong, missing or more."""
    letters = list(text)
    for _ in range(draw.choice((0, 0, 1, 2, 3, 5))):
        place = draw.randrange(len(letters) + 1)
        letters[place : place + draw.choice((0, 1))] = draw.choice(("x", "", " ", "E"))
    return draw.choice((str.upper, str.title, str, str.strip))("".join(letters))


def shown(case: Case, most: int = 60) -> str:
    """A case in one line."""
    right = ", ".join(map(repr, _few(case.right)))
    text = f"{case.answer!r} for {right}"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _few(people: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(people))
