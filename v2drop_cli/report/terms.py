"""What the rows of a report mean: each quantity's definition, and the words around them."""

from __future__ import annotations

from dataclasses import dataclass

from v2drop_cli.records.meanings import MEANINGS
from v2drop_cli.records.metrics import METRICS, PAIRS

SPEEDUP, IDEAL, FLOOR, CAPTURE = "speedup", "ideal", "decode_floor", "capture"
INTERVAL, NOISE, NULL, WATERFALL = "interval", "noise", "null", "waterfall"


@dataclass(frozen=True, slots=True)
class Term:
    """A name that a page explains.

    Attributes:
        name: for links to it.
        label: as the reader sees it.
        words: the definition.
    """

    name: str
    label: str
    words: str


_AROUND = (
    Term(
        SPEEDUP,
        "speed-up",
        "the reference's time over the arm's, formed inside each round: above 1 the arm is faster. "
        "Shown are the median over the rounds and its interval",
    ),
    Term(
        INTERVAL,
        "interval, ± and [low, high]",
        "95 % bootstrap interval of the median; below 5 rounds there is none",
    ),
    Term(
        NULL,
        "A/A null",
        "dense once more under another name, in the same rounds: what differs between the two is "
        "noise of this machine",
    ),
    Term(
        NOISE,
        "noise floor",
        "the ratios that dense against dense reaches, made symmetric about 1: an arm whose median "
        "lies in there is claimed to be neither faster nor slower",
    ),
    Term(
        IDEAL,
        "ideal speed-up",
        "the reference's prefill arithmetic over the arm's: the speed-up if time were arithmetic "
        "and nothing else",
    ),
    Term(
        FLOOR,
        "decode floor",
        "weights and KV cache, read once, over the memory's peak bandwidth: no token can take less",
    ),
    Term(
        CAPTURE,
        "graph capture, once",
        "recording the compiled decoding before the first round; in no other figure",
    ),
    Term(
        WATERFALL,
        "stages one after the other",
        "medians of the stages in the order of the work. A median of sums is only nearly the sum "
        "of medians, so that a bar may end a little beside the end-to-end time",
    ),
)
_PAIR_LABELS = {
    "realised_over_ideal": "realised",
    "answers_identical": "answer",
    "token_agreement": "tokens that agree",
}

TERMS: dict[str, Term] = {
    each.name: each
    for each in (
        *(Term(row.name, row.label, MEANINGS[row.name]) for row in METRICS),
        *(Term(pair.name, _PAIR_LABELS[pair.name], MEANINGS[pair.name]) for pair in PAIRS),
        *_AROUND,
    )
}
"""By name, in the order of the work."""
