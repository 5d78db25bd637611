"""The answer of a search in one sentence: what was found, and whether it holds on rows held out."""

from __future__ import annotations

from collections.abc import Iterator

from v2drop_cli.records import DUMMY
from v2drop_cli.records.evaluation import BETTER, SAME, UNCLEAR, WORSE
from v2drop_cli.records.tuning import BEYOND, UNSURE, WITHIN, ArmOn, Compared, Side, Trial, Tuning
from v2drop_cli.report.eval_finding import per_cent
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.wording import Said, Tone, plural
from v2drop_cli.units import NOT_AVAILABLE

_CARRIED = {
    BETTER: "the gain carries over",
    WORSE: "the gain does not carry over: it is worse than the default there",
    SAME: "there is no gain: it does there what the default does",
    UNCLEAR: "the gain is not shown to carry over",
}
_CARRIED_TONES: dict[str, Tone] = {BETTER: "good", WORSE: "bad"}
_TOLERATED = {
    WITHIN: "which is within the {limit} tolerated",
    BEYOND: "which is beyond the {limit} tolerated: the gain does not carry over",
    UNSURE: "which is not shown to be within the {limit} tolerated",
}
_TOLERATED_TONES: dict[str, Tone] = {WITHIN: "good", BEYOND: "bad"}


def finding(found: Tuning) -> Said:
    """The sentence and its tone."""
    start = "Partial: " if found.partial else ""
    if found.request.weights == DUMMY:
        return f"{start}Dummy weights: what is tuned on them means nothing.", "warn"
    best = found.best
    if best is None:
        return f"{start}{_none(found)}", "warn"
    if not found.sides:
        return f"{start}{_named(best)} is the best of {plural(len(found.trials), 'trial')}.", "warn"
    if found.tolerated is not None:
        return f"{start}{_tolerated(found, best)}", _TOLERATED_TONES.get(found.tolerated, "plain")
    verdict = found.carries_over or UNCLEAR
    return f"{start}{_carried(found, best, verdict)}", _CARRIED_TONES.get(verdict, "plain")


def against(found: Tuning, side: Side) -> Compared:
    """The tuned arm against the default one, by what was tuned for."""
    return side.score if found.by_score and side.score is not None else side.kl


def ratio(found: Compared) -> str:
    """A ratio with its interval: ``0.85x [0.80x, 0.91x]``."""
    if found.ratio is None:
        return NOT_AVAILABLE
    text = f"{found.ratio:.2f}x"
    if found.ci95 is None:
        return text
    low, high = found.ci95
    return f"{text} {glued(f'[{low:.2f}x, {high:.2f}x]')}"


def _carried(found: Tuning, best: Trial, verdict: str) -> str:
    calibration, held_out = (against(found, side) for side in found.sides)
    default = found.sides[-1].arms[1]
    what = "score" if found.by_score else "KL divergence"
    return (
        f"{_named(best)} has {_times(calibration)} the {what} of the default "
        f"({glued(clean(f'{default.method} {default.schedule}'))}) on calibration rows and "
        f"{ratio(held_out)} on rows held out: {_CARRIED[verdict]}."
    )


def _tolerated(found: Tuning, best: Trial) -> str:
    before, after = (side.arms[-1] for side in found.sides)
    words = _TOLERATED[found.tolerated or UNSURE].format(limit=per_cent(found.search.tolerate or 0))
    interval = "" if after.loss_ci95 is None else f" {_interval(after.loss_ci95)}"
    return (
        f"{_named(best)} keeps {per_cent(best.cost.share)} of the vision tokens and loses "
        f"{_loss(before)} on calibration rows and {_loss(after)}{interval} on rows "
        f"held out, {words}."
    )


def _loss(arm: ArmOn) -> str:
    return NOT_AVAILABLE if arm.loss is None else per_cent(arm.loss)


def _none(found: Tuning) -> str:
    if not found.trials:
        return "No schedule was tried."
    least = min(found.trials, key=lambda trial: trial.loss)
    limit = per_cent(found.search.tolerate or 0)
    return (
        f"None of {plural(len(found.trials), 'trial')} loses at most {limit}; the least is "
        f"{per_cent(least.loss)}, by {_named(least)}."
    )


def _named(trial: Trial) -> str:
    return glued(clean(f"{trial.method} {trial.schedule}"))


def _times(found: Compared) -> str:
    return NOT_AVAILABLE if found.ratio is None else f"{found.ratio:.2f}x"


def _interval(ends: tuple[float, float]) -> str:
    return f"[{per_cent(ends[0])},{GLUE}{per_cent(ends[1])}]"


def on_fronts(found: Tuning) -> Iterator[Trial]:
    """The trials on a front, and the tuned one, the cheapest first."""
    kept = [
        trial
        for trial in found.trials
        if trial.on_flops or trial.on_prefill or trial.number == found.tuned
    ]
    yield from sorted(kept, key=lambda trial: (trial.cost.share, trial.loss, trial.number))
