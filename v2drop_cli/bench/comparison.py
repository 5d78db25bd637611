"""One arm against the reference: speed-ups, memory, and whether the answers agree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from v2drop_cli.measure.stats import paired_difference, paired_ratio
from v2drop_cli.records import RANDOM, ArmResult, Comparison, Overhead, Ratio, Stats

# Two arms keep as many tokens if their layer averages differ by no more than this share of them.
SAME_BUDGET = 0.01


def compare(reference: ArmResult, arm: ArmResult, *, intervals: bool = True) -> Comparison:
    """Every ratio is reference over arm: above 1 the arm is faster or smaller."""
    ours, theirs = arm.timing, reference.timing
    speedup = partial(_speedup, interval=intervals)
    prefill = speedup(theirs.prefill_s, ours.prefill_s)
    ideal = _quotient(_prefill_flops(reference), _prefill_flops(arm))
    tokens, expected = arm.answer.token_ids, reference.answer.token_ids
    return Comparison(
        arm=arm.label,
        reference=reference.label,
        prefill_speedup=prefill,
        decode_speedup=speedup(theirs.decode_s_per_token, ours.decode_s_per_token),
        generate_speedup=speedup(theirs.generate_s, ours.generate_s),
        peak_memory_ratio=_quotient(reference.memory.peak_bytes, arm.memory.peak_bytes),
        kv_cache_ratio=_quotient(reference.memory.kv_cache_bytes, arm.memory.kv_cache_bytes),
        answers_identical=tokens == expected,
        token_agreement=token_agreement(expected, tokens),
        first_divergence=first_divergence(expected, tokens),
        ideal_prefill_speedup=ideal,
        realised_over_ideal=prefill.median / ideal if prefill and ideal else None,
    )


def random_comparisons(
    arms: Sequence[ArmResult], *, intervals: bool = True
) -> tuple[Comparison, ...]:
    """Each arm against random selection that keeps as many tokens, where there is one.

    That is the random arm at the same schedule, or at the same budget: methods that drop at layers
    of their own have other schedules and, if they keep as much, the same layer average.
    """
    bars = [arm for arm in arms if arm.method == RANDOM]
    pairs = [(arm, _bar(arm, bars)) for arm in arms if arm.method not in (None, RANDOM)]
    return tuple(compare(bar, arm, intervals=intervals) for arm, bar in pairs if bar is not None)


def _bar(arm: ArmResult, bars: Sequence[ArmResult]) -> ArmResult | None:
    """The random arm that ``arm`` is held against."""

    def apart(bar: ArmResult) -> float:
        return abs(bar.layer_average_vision_tokens - arm.layer_average_vision_tokens)

    same = [bar for bar in bars if bar.schedule == arm.schedule]
    near = [bar for bar in bars if apart(bar) <= SAME_BUDGET * arm.layer_average_vision_tokens]
    return same[0] if same else min(near, key=apart, default=None)


def scoring_overheads(
    dense: ArmResult, arms: Sequence[ArmResult], random: str, *, intervals: bool = True
) -> tuple[Overhead, ...]:
    """Prefill of each arm less that of method ``random`` at the same schedule, where there is one.

    Random selection gathers and shortens just as much, so what is left is the scoring.
    """
    found = []
    by_schedule = {arm.schedule: arm for arm in arms if arm.method == random}
    for arm in arms:
        bar = by_schedule.get(arm.schedule)
        ours, full = arm.timing.prefill_s, dense.timing.prefill_s
        if bar is None or arm.method == random or ours is None or full is None:
            continue
        theirs = bar.timing.prefill_s
        if theirs is not None and full.median:
            median, interval = paired_difference(ours.samples, theirs.samples, interval=intervals)
            share = median / full.median
            found.append(Overhead(arm.label, bar.label, median, interval, share))
    return tuple(found)


def token_agreement(expected: Sequence[int], tokens: Sequence[int]) -> float:
    """Share of places that hold the same token, of the longer answer's places; 1 for two empty.

    >>> token_agreement([5, 6, 7, 8], [5, 9, 7])
    0.5
    """
    places = max(len(expected), len(tokens))
    same = sum(a == b for a, b in zip(expected, tokens, strict=False))
    return same / places if places else 1.0


def first_divergence(expected: Sequence[int], tokens: Sequence[int]) -> int | None:
    """Index of the first token that differs, or is missing in one; ``None`` if none does.

    >>> first_divergence([5, 6, 7], [5, 9]), first_divergence([5], [5, 6])
    (1, 1)
    """
    for i, (a, b) in enumerate(zip(expected, tokens, strict=False)):
        if a != b:
            return i
    shorter = min(len(expected), len(tokens))
    return None if len(expected) == len(tokens) else shorter


def _prefill_flops(arm: ArmResult) -> int | None:
    return None if arm.limit is None else arm.limit.prefill_flops


def _speedup(reference: Stats | None, arm: Stats | None, *, interval: bool) -> Ratio | None:
    if reference is None or arm is None:
        return None
    return paired_ratio(reference.samples, arm.samples, interval=interval)


def _quotient(reference: int | None, arm: int | None) -> float | None:
    return reference / arm if reference and arm else None
