"""The one sentence of a comparison: what of B is faster, slower, less, more or another answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from v2drop_cli.records import DENSE
from v2drop_cli.records.changes import DIFFERS, FAILED, UNDECIDED, Change, Changes
from v2drop_cli.records.verdicts import FASTER, LESS, MORE, SLOWER, UNCLEAR
from v2drop_cli.report.text import clean, glued
from v2drop_cli.report.wording import Said, Tone, listed, plural
from v2drop_cli.units import NOT_AVAILABLE

BAD, GOOD = (SLOWER, MORE), (FASTER, LESS)
_VERBS = {SLOWER: "is slower than A in", FASTER: "is faster than A in"}
_SIZES = {MORE: "takes more", LESS: "takes less"}
_NAMED_ARMS = 2


class _Found(NamedTuple):
    """One quantity of one arm."""

    arm: str
    change: Change


def finding(found: Changes, labels: dict[str, str]) -> Said:
    """The sentence and its tone; ``labels`` name the metrics."""
    everything = [_Found(arm.label, change) for arm in found.arms for change in arm.changes]
    parts = [*_claims(everything, labels), *_answers(found)]
    said = f"B {', '.join(parts)}" if parts else _nothing(found, everything)
    if all(arm.label == DENSE for arm in found.arms) and (found.only_in_a or found.only_in_b):
        said = f"only {DENSE} is in both, no arm that drops; {said}"
    return "; ".join((said, *_gates(found))) + ".", _tone(found, everything)


def is_change(change: Change) -> bool:
    """Whether it is one that the numbers show."""
    return change.verdict in (*BAD, *GOOD)


def _claims(everything: Sequence[_Found], labels: dict[str, str]) -> Iterator[str]:
    for verdict, words in {**_VERBS, **_SIZES}.items():
        held = [one for one in everything if one.change.verdict == verdict]
        metrics = dict.fromkeys(one.change.metric for one in held)
        names = [
            glued(f"{labels.get(metric, metric)} ")
            + _arms([one for one in held if one.change.metric == metric])
            for metric in metrics
        ]
        if names:
            yield f"{words} {listed(names)}"


def _arms(found: Sequence[_Found]) -> str:
    """``(v2drop 1.087x)``, or of many arms how many and the one that changed most."""
    ratios = [one.change.ratio for one in found if one.change.ratio is not None]
    if len(found) <= _NAMED_ARMS:
        return f"({', '.join(glued(f'{clean(o.arm)} {_ratio(o.change.ratio)}') for o in found)})"
    most = max(ratios, key=lambda ratio: abs(ratio - 1), default=None)
    return glued(f"({len(found)} arms, at most {_ratio(most)})")


def _ratio(ratio: float | None) -> str:
    return NOT_AVAILABLE if ratio is None else f"{ratio:.3f}x"


def _answers(found: Changes) -> Iterator[str]:
    other = [clean(arm.label) for arm in found.arms if arm.answers == DIFFERS]
    if other:
        which = f"({', '.join(other)})" if len(other) <= _NAMED_ARMS else f"in {len(other)} arms"
        yield f"gives {'another answer' if len(other) == 1 else 'other answers'} {which}"


def _nothing(found: Changes, everything: Sequence[_Found]) -> str:
    if not any(one.change.unit == "s" and one.change.ratio is not None for one in everything):
        return "nothing was timed in both A and B, so that no change of speed can be told"
    unclear = sum(one.change.verdict == UNCLEAR for one in everything)
    if unclear:
        return (
            f"no change can be told: {unclear} of {plural(len(everything), 'value')} "
            f"{'is' if unclear == 1 else 'are'} unclear, the rest is the same"
        )
    known = any(one.change.verdict is not None for one in everything)
    return "no change: B is as A in everything measured" if known else "nothing to compare"


def _gates(found: Changes) -> Iterator[str]:
    for outcome in (FAILED, UNDECIDED):
        count = sum(gate.outcome == outcome for gate in found.gates)
        if count:
            yield f"{plural(count, 'gate')} {outcome}"


def _tone(found: Changes, everything: Sequence[_Found]) -> Tone:
    verdicts = {one.change.verdict for one in everything}
    failed = any(gate.outcome == FAILED for gate in found.gates)
    if failed or verdicts & set(BAD) or any(arm.answers == DIFFERS for arm in found.arms):
        return "bad"
    return "good" if verdicts & set(GOOD) else "plain"
