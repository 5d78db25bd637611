"""What the rows of a report mean: each quantity's definition, and the words around them."""

from __future__ import annotations

from dataclasses import dataclass

from v2drop_cli.records.meanings import MEANINGS
from v2drop_cli.records.metrics import METRICS, PAIRS

ARM, SPEEDUP, IDEAL, FLOOR, CAPTURE = "arm", "speedup", "ideal", "decode_floor", "capture"
GROWTH, LARGEST, PREDICTED, RATE, SERVED = "growth", "largest", "predicted", "rate", "served"
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
        ARM,
        "arm",
        "one way of running the model. dense is the model as it is; the others are a method and "
        "its schedule, LAYER:KEEP,...: 3:0.5 drops at the input of layer 3, counted from 0, and "
        "half of the vision tokens that are left there stay",
    ),
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
_OF_A_SWEEP = (
    Term(
        GROWTH,
        "growth exponent",
        "the power of the size that a quantity grows with: the slope of its logarithm over that "
        "of the size, by least squares over the sizes measured. 1 is in proportion, 2 is "
        "quadratic. FLOPs are those of the decoder, from shapes: time grows as they do where "
        "arithmetic is all that takes time",
    ),
    Term(
        LARGEST,
        "what fits",
        "the largest size in the memory given, by bisection over whole numbers. On a GPU the model "
        "runs at each size that is asked about; on a CPU the prediction decides, and a run at the "
        "size found checks it where that takes no longer than --max-time",
    ),
    Term(
        PREDICTED,
        "predicted memory",
        "from shapes: weights, KV cache, and the widest moment of vision tower or decoder; on a "
        "CPU also what the process held before. Kernels' work space is not in it",
    ),
    Term(RATE, "tokens a second", "new tokens of all rows a second, while decoding"),
    Term(
        SERVED,
        "requests a second",
        "rows a second of a whole generation on the host's clock, vision tower and prefill "
        "included",
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
        *_OF_A_SWEEP,
    )
}
"""By name, in the order of the work."""
