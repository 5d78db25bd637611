"""Answers side by side, with the place marked where one parts from the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2drop_cli.report.html.markup import Child, Markup, tag
from v2drop_cli.report.wording import EMPTY, Tone

ENDS = "(ends here)"


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer.

    Attributes:
        name: whose it is.
        text: safe to show.
        verdict: what it is against the reference, and its tone.
    """

    name: Child
    text: str
    verdict: str = ""
    tone: Tone = "muted"


def side_by_side(reference: Shown, others: Sequence[Shown]) -> Markup:
    """A card each; the first word that differs is marked, in the reference for the earliest."""
    places = [parting(reference.text, other.text) for other in others]
    earliest = min((place for place in places if place is not None), default=None)
    cards = [_card(reference, earliest)]
    cards += [_card(other, place) for other, place in zip(others, places, strict=True)]
    return tag("div", cards, class_="answers")


def parting(reference: str, other: str) -> int | None:
    """Where the first word begins that is not the same in both; ``None`` for equal texts.

    >>> parting("a red circle", "a red square"), parting("a", "a"), parting("re", "red")
    (6, None, 0)
    """
    if reference == other:
        return None
    pairs = enumerate(zip(reference, other, strict=False))
    shorter = min(len(reference), len(other))
    place = next((at for at, (one, another) in pairs if one != another), shorter)
    if not any(text[place : place + 1].strip() for text in (reference, other)):
        return place  # the same word ends in both
    while place and not reference[place - 1].isspace():
        place -= 1
    return place


def _card(shown: Shown, place: int | None) -> Markup:
    verdict = tag("p", shown.verdict, class_=f"verdict {shown.tone}") if shown.verdict else None
    text = tag("p", _marked(shown.text, place), class_="answer")
    return tag("article", tag("h3", shown.name), text, verdict, class_="card")


def _marked(text: str, place: int | None) -> Child:
    if not text.strip():
        return tag("span", EMPTY, class_="muted")
    if place is None:
        return text
    rest = text[place:]
    words = rest.split()
    if not words:
        return [text, " ", tag("mark", ENDS)]
    lead = rest[: len(rest) - len(rest.lstrip())]
    after = rest[len(lead) + len(words[0]) :]
    return [text[:place], lead, tag("mark", words[0]), after]
