"""Medians with bootstrap intervals, paired ratios, outliers: flagged, never deleted.

Missing data is ``None`` and stays ``None``: a series with one sample missing is not
summarised from the others, because the others are then no longer the rounds of its partner.
"""

from __future__ import annotations

import inspect
import math
import statistics
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

from v2drop_cli.records import FEWEST_FOR_INTERVAL, Ratio, Stats

_CONFIDENCE = 0.95
_RESAMPLES = 9999
_SEED = 0


# Iglewicz and Hoaglin (1993): 0.6745 turns the MAD, 0.7979 the mean absolute deviation, into a
# standard deviation of normal data; a modified z-score over 3.5 is an outlier.
_MAD_SCALE = 0.6745
_MEAN_DEVIATION_SCALE = 0.7979
_OUTLIER_Z = 3.5
_FEWEST_FOR_OUTLIERS = 3


@overload
def summarize(samples: Sequence[float]) -> Stats: ...
@overload
def summarize(samples: Sequence[float | None] | None) -> Stats | None: ...
def summarize(samples: Sequence[float | None] | None) -> Stats | None:
    """Median, 95 % interval of the median, and the raw samples in their order.

    Args:
        samples: in any unit, which is also the unit of the result.

    Returns:
        ``None`` if the series, or a sample of it, is missing.

    Raises:
        ValueError: no samples at all, or one that is not finite.

    """
    known = _all_known(samples)
    if known is None:
        return None
    if not known:
        raise ValueError("no samples to summarise")
    if not all(math.isfinite(sample) for sample in known):
        raise ValueError(f"samples must be finite, got {known}")
    return Stats(statistics.median(known), tuple(known), median_interval(known))


def medians_only(samples: Iterable[float | None]) -> Stats | None:
    """As :func:`summarize`, without the interval, which takes a hundred times as long."""
    known = _all_known(list(samples))
    return Stats(statistics.median(known), tuple(known)) if known else None


def paired_difference(
    arm: Sequence[float], reference: Sequence[float], *, interval: bool = True
) -> tuple[float, tuple[float, float] | None]:
    """Median of ``arm - reference`` per round, and its 95 % bootstrap interval if wanted.

    Raises:
        ValueError: different lengths, so they are not of the same rounds, or no samples.

    """
    differences = [ours - theirs for ours, theirs in zip(arm, reference, strict=True)]
    if not differences:
        raise ValueError("no samples to compare")
    return statistics.median(differences), median_interval(differences) if interval else None


def paired_ratio(
    reference: Sequence[float | None] | None,
    arm: Sequence[float | None] | None,
    *,
    interval: bool = True,
) -> Ratio | None:
    """Median of ``reference / arm`` per round, with its 95 % bootstrap interval.

    Above 1 the arm is faster (or smaller) than the reference.

    Args:
        reference: one sample a round.
        arm: the samples of the same rounds, in the same unit.
        interval: whether to bootstrap one, which takes far longer than the median.

    Returns:
        ``None`` if a series or a sample is missing, there is none, or a ratio is not finite.

    Raises:
        ValueError: the two have different lengths, so they are not of the same rounds.

    """
    if reference is None or arm is None:
        return None
    if len(reference) != len(arm):
        raise ValueError(f"{len(reference)} reference samples, but {len(arm)} of the arm")
    above, below = _all_known(reference), _all_known(arm)
    if not above or not below or not all(below):
        return None
    ratios = [top / bottom for top, bottom in zip(above, below, strict=True)]
    if not all(math.isfinite(ratio) for ratio in ratios):
        return None
    return Ratio(statistics.median(ratios), median_interval(ratios) if interval else None)


def ratio_of_medians(
    reference: Sequence[float] | None, other: Sequence[float] | None
) -> Ratio | None:
    """Median of ``other`` over median of ``reference``: two independent sets of samples.

    Nothing is paired: each set is resampled on its own for the 95 % bootstrap interval, which
    is unknown for fewer than five samples in either. Swapping the two inverts it exactly.

    Returns:
        ``None`` if a set is missing or empty, or the ratio or its inverse is not finite.

    """
    if not reference or not other:
        return None
    below, above = statistics.median(reference), statistics.median(other)
    if not (below > 0 and above > 0 and math.isfinite(above / below) and above / below > 0):
        return None
    if min(len(reference), len(other)) < FEWEST_FOR_INTERVAL:
        return Ratio(above / below)
    if min(reference) == max(reference) and min(other) == max(other):
        return Ratio(above / below, (above / below, above / below))
    swapped = (above, list(other)) < (below, list(reference))
    data = (other, reference) if swapped else (reference, other)
    for method in ("BCa", "percentile"):
        low, high = _bootstrap_ratio(*data, method)
        if 0 < low <= high < math.inf:
            return Ratio(above / below, (1 / high, 1 / low) if swapped else (low, high))
    return Ratio(above / below)


def median_interval(
    samples: Sequence[float], *, fewest: int = FEWEST_FOR_INTERVAL
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the median; the same for the same samples.

    BCa, or percentile where BCa has no answer.

    Returns:
        ``None`` for fewer than ``fewest`` samples; ``(x, x)`` when all samples are ``x``.

    """
    if len(samples) < fewest:
        return None
    if min(samples) == max(samples):
        return (float(samples[0]), float(samples[0]))
    for method in ("BCa", "percentile"):
        low, high = _bootstrap(samples, method)
        if math.isfinite(low) and math.isfinite(high):
            return (low, high)
    return None


def outliers(samples: Sequence[float] | None) -> tuple[int, ...]:
    """Positions of the samples whose modified z-score, on the MAD, exceeds 3.5.

    They are to be shown, not deleted: the median hardly sees them.
    """
    if samples is None or len(samples) < _FEWEST_FOR_OUTLIERS:
        return ()
    middle = statistics.median(samples)
    deviations = [abs(sample - middle) for sample in samples]
    spread = statistics.median(deviations) / _MAD_SCALE
    if spread == 0:  # more than half of the samples are the same
        spread = statistics.fmean(deviations) / _MEAN_DEVIATION_SCALE
    limit = _OUTLIER_Z * spread
    return tuple(place for place, deviation in enumerate(deviations) if deviation > limit)


def _all_known(samples: Sequence[float | None] | None) -> list[float] | None:
    if samples is None:
        return None
    known = [float(sample) for sample in samples if sample is not None]
    return known if len(known) == len(samples) else None


def _bootstrap(samples: Sequence[float], method: str) -> tuple[float, float]:
    import numpy as np

    return _interval_of((samples,), np.median, method)


def _bootstrap_ratio(
    reference: Sequence[float], other: Sequence[float], method: str
) -> tuple[float, float]:
    import numpy as np

    def ratio(below: Any, above: Any, axis: int = -1) -> Any:
        return np.median(above, axis=axis) / np.median(below, axis=axis)

    return _interval_of((reference, other), ratio, method)


def _interval_of(
    data: Sequence[Sequence[float]], statistic: Callable[..., Any], method: str
) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    # The seed's argument was renamed in scipy 1.15, and the old name will go.
    seed_name = "rng" if "rng" in inspect.signature(bootstrap).parameters else "random_state"
    seed: dict[str, Any] = {seed_name: np.random.default_rng(_SEED)}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Degenerate data is handled by the caller; it is no news for the reader.
        warnings.simplefilter("ignore")
        interval = bootstrap(
            tuple(np.asarray(samples, dtype=np.float64) for samples in data),
            statistic,
            n_resamples=_RESAMPLES,
            confidence_level=_CONFIDENCE,
            method=method,
            vectorized=True,
            **seed,
        ).confidence_interval
    return float(interval.low), float(interval.high)
