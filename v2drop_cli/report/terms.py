"""What the rows of a report mean: each quantity's definition, and the words around them."""

from __future__ import annotations

from dataclasses import dataclass

from v2drop_cli.records.meanings import MEANINGS
from v2drop_cli.records.metrics import METRICS, PAIRS

ARM, SPEEDUP, IDEAL, FLOOR, CAPTURE = "arm", "speedup", "ideal", "decode_floor", "capture"
GROWTH, LARGEST, PREDICTED, RATE, SERVED = "growth", "largest", "predicted", "rate", "served"
INTERVAL, NOISE, NULL, WATERFALL = "interval", "noise", "null", "waterfall"
SCORE, RETENTION, GAINED, P_VALUE, ROW_SPEEDUP = "score", "retention", "gained", "p", "row_speedup"
KL, AGREEMENT, DIVERGED, FRONT = "kl", "likeliest", "diverged", "front"


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
        "Shown are the median over the rounds and its interval. That is near the quotient of the "
        "two medians and not equal to it: what slows a whole round falls out of a ratio formed "
        "inside it",
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
_OF_AN_EVALUATION = (
    Term(
        SCORE,
        "score",
        "the mean over the rows of what the metric gives an answer, from 0 to 100 %, with Wilson's "
        "95 % interval",
    ),
    Term(
        RETENTION,
        "of dense",
        "the arm's score over dense's on the same rows, with a paired 95 % interval: Bonett and "
        "Price's (2006) for right and wrong, Fieller's for grades. worse: all of it is below 1; "
        "better: all of it is above; the same: all of it is within 2 %. The interval is of each "
        "arm alone: of twenty arms one is expected to stand out by chance",
    ),
    Term(GAINED, "gained/lost", "rows with a higher score than dense's, and with a lower one"),
    Term(
        P_VALUE,
        "p",
        "McNemar's exact test on the rows gained and lost: how likely so uneven a split is if "
        "both are as likely",
    ),
    Term(
        ROW_SPEEDUP,
        "prefill, over the rows",
        "dense's line: the median over the rows. Other lines: the median over the rows of dense's "
        "prefill over the arm's. Each row is timed once, in a batch its share of it: for a first "
        "look; v2drop profile measures times",
    ),
    Term(
        FRONT,
        "front",
        "the arms that no other one beats in both time and quality, by what was measured: where "
        "the intervals of two overlap, their order may be chance",
    ),
    Term(
        KL,
        "KL per token",
        "how far the arm's next-token probabilities are from dense's, in nats, led along dense's "
        "own answer: the mean over an answer's tokens, then over the rows; 0 is the same",
    ),
    Term(
        AGREEMENT,
        "likeliest token agrees",
        "along dense's own answer, the share of places at which the arm's likeliest token is "
        "dense's; the mean over the rows",
    ),
    Term(
        DIVERGED,
        "answers that diverge",
        "rows with a place along dense's own answer at which the arm's likeliest token is another",
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
        *_OF_AN_EVALUATION,
    )
}
"""By name, in the order of the work."""
