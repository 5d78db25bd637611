"""What ``v2drop tune`` says: the fronts of what was tried, then both sides of the data."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace

from v2drop_cli.records.evaluation import BETTER, WORSE
from v2drop_cli.records.tuning import ArmOn, Compared, Side, Trial, Tuning
from v2drop_cli.report import tune_finding
from v2drop_cli.report.eval_finding import per_cent
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.tune_finding import on_fronts, ratio
from v2drop_cli.report.view import Cell, Fact, Glance, Row, Section, View
from v2drop_cli.report.wording import Tone, plural
from v2drop_cli.units import NOT_AVAILABLE, format_flops, format_seconds

MOST_SHOWN = 12
"""Trials of the fronts that are shown; the document has all."""
MOST_BROKEN = 5
_TONES: dict[str, Tone] = {WORSE: "bad", BETTER: "good"}
_NOTHING = Cell("-", "muted", filler=True)


def build_tune_view(found: Tuning) -> View:
    """Put ``found`` into words."""
    text, tone = tune_finding.finding(found)
    arms = found.sides[0].arms if found.sides else ()
    return View(
        facts=tuple(_facts(found)),
        columns=tuple(arm.label for arm in arms),
        sections=tuple(_sections(found)),
        footer=tuple(_footer(found)),
        glance=_glance(found),
        finding=Cell(text, tone),
    )


def summarised_tuning(found: Tuning, command: str | None) -> Tuning:
    """``found`` with its finding in one sentence and the command line that made it."""
    text, _ = tune_finding.finding(found)
    return replace(found, summary=text.replace(GLUE, " "), command=command)


def _facts(found: Tuning) -> Iterator[Fact]:
    data, asked, search = found.data, found.request, found.search
    names = [side.rows for side in found.sides]
    split = f": {names[0]} rows to calibrate, {names[1]} held out" if names else ""
    other = "" if data.held_out is None else f" (held out: {clean(data.held_out)})"
    yield Fact("data", f"{clean(data.name)}{other}{split}")
    parts = [clean(asked.model), asked.dtype, asked.attn_implementation, asked.device]
    parts += [] if asked.batch_size == 1 else [f"batches of {asked.batch_size}"]
    yield Fact("model", ", ".join(map(glued, parts)))
    goal = f"as few tokens as can be with a loss of at most {per_cent(search.tolerate or 0)}"
    if search.budget is not None:
        goal = f"as good as can be at {per_cent(search.budget)} of the vision tokens"
    yield Fact("goal", f"{goal}, by {search.by}")
    how = f"{plural(len(found.trials), 'trial')}, {search.known} of them known schedules"
    yield Fact("search", f"{search.sampler}, {how}, seed {asked.seed}")


def _glance(found: Tuning) -> Glance | None:
    shown = list(on_fronts(found))
    if not shown:
        return None
    by = "score" if found.by_score else "KL"
    columns = (by, "loss", "tokens", "FLOPs", "prefill", "front of")
    best = found.best
    rows = tuple(
        Row(
            glued(clean(f"{trial.method} {trial.schedule}")),
            tuple(_glance_cells(found, trial, trial == best)),
        )
        for trial in _fewer(shown, best)
    )
    return Glance("Of what was tried nothing is better and cheaper", columns, rows)


def _fewer(shown: list[Trial], best: Trial | None) -> list[Trial]:
    """The first ones, and the best one among them."""
    kept = shown[:MOST_SHOWN]
    if best is not None and best in shown and best not in kept:
        kept[-1] = best
    return kept


def _glance_cells(found: Tuning, trial: Trial, best: bool) -> Iterator[Cell]:
    score = trial.quality.score
    if found.by_score:
        yield Cell(per_cent(score.mean) if score else NOT_AVAILABLE)
    else:
        yield _kl(trial.quality.kl)
    yield Cell(per_cent(trial.loss), value=trial.loss)
    yield Cell(per_cent(trial.cost.share), value=trial.cost.share)
    yield _flops(trial.cost.prefill_flops)
    yield _time(trial.cost.prefill_s)
    marks = (("FLOPs", trial.on_flops), ("time", trial.on_prefill), ("tuned", best))
    yield Cell(", ".join(name for name, on in marks if on), "good" if best else "plain")


def _sections(found: Tuning) -> Iterator[Section]:
    if not found.sides:
        return
    arms = found.sides[0].arms
    schedules = (
        Cell(clean(f"{arm.method} {arm.schedule}")) if arm.schedule else _NOTHING for arm in arms
    )
    yield Section("", (Row("schedule", tuple(schedules)),))
    for side in found.sides:
        yield Section(f"{side.name.capitalize()}: {side.rows} rows", tuple(_side_rows(side)))


def _side_rows(side: Side) -> Iterator[Row]:
    quality = [arm.quality for arm in side.arms]
    yield Row("KL per token", tuple(_kl(one.kl) for one in quality))
    yield _against("to the default's", side.arms, side.kl)
    yield Row("likeliest token agrees", tuple(_share(one.agreement) for one in quality))
    if side.score is not None:
        scores = [None if one.score is None else one.score.mean for one in quality]
        yield Row("score", tuple(map(_share, scores)))
        yield _against("score to the default's", side.arms, side.score)
    yield Row("loss", tuple(map(_loss, side.arms)))
    yield from _costs(side.arms)


def _costs(arms: tuple[ArmOn, ...]) -> Iterator[Row]:
    rows: tuple[tuple[str, Callable[[ArmOn], Cell]], ...] = (
        ("of the vision tokens", lambda arm: _share(arm.cost.share)),
        ("prefill FLOPs", lambda arm: _flops(arm.cost.prefill_flops)),
        ("prefill (median)", lambda arm: _time(arm.cost.prefill_s)),
    )
    for label, cell in rows:
        yield Row(label, tuple(map(cell, arms)))


def _against(label: str, arms: tuple[ArmOn, ...], found: Compared) -> Row:
    """Under the tuned arm alone: it is what is compared."""
    told = Cell(ratio(found), _TONES.get(found.verdict, "plain"), value=found.ratio)
    return Row(label, (*(_NOTHING for _ in arms[:-1]), told))


def _loss(arm: ArmOn) -> Cell:
    if arm.loss is None:
        return _NOTHING
    text = per_cent(arm.loss)
    if arm.loss_ci95 is not None:
        low, high = (per_cent(end) for end in arm.loss_ci95)
        text = f"{text} {glued(f'[{low}, {high}]')}"
    return Cell(text, short=per_cent(arm.loss), value=arm.loss)


def _kl(value: float | None) -> Cell:
    return _NOTHING if value is None else Cell(f"{value:.3g}{GLUE}nat", value=value)


def _share(value: float | None) -> Cell:
    return _NOTHING if value is None else Cell(per_cent(value), value=value)


def _flops(value: float | None) -> Cell:
    return Cell(glued(format_flops(None if value is None else round(value))), value=value)


def _time(value: float) -> Cell:
    return Cell(glued(format_seconds(value)), value=value)


def _footer(found: Tuning) -> Iterator[Fact]:
    yield Fact("reading", _reading(found))
    best = found.best
    if best is not None:
        words = ("--method", best.method, "--schedule", best.schedule)
        yield Fact("use", clean(shlex.join(words)))
    if found.partial:
        left = found.search.trials - len(found.trials)
        yield Fact("partial", f"{plural(left, 'trial')} not made yet: --resume", "warn")
    if found.broken:
        yield Fact("broken", f"{plural(len(found.broken), 'row')} could not be asked", "warn")
    for one in found.broken[:MOST_BROKEN]:
        yield Fact(f"row {one.row}", clean(one.reason), "warn")
    for caveat in found.warnings:
        yield Fact("warning", clean(caveat.message), "warn")


def _reading(found: Tuning) -> str:
    loss = "1 less what is left of dense's score" if found.by_score else "1 less the agreement"
    batch = ", a row's share of its batch" if found.request.batch_size > 1 else ""
    return (
        f"loss: {loss}; [low,{GLUE}high] are 95{GLUE}% intervals, of ratios paired row by row; "
        "the best of many trials looks better on calibration rows than it is, so that only rows "
        f"held out say something; prefill: median over the rows{batch}, one pass each: v2drop "
        "profile measures times"
    )
