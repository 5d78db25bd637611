"""What ``v2drop eval`` says, as the same kind of view as a report: a line per arm, then details."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from v2drop_cli.records import AS_IT_IS, RANDOM
from v2drop_cli.records.evaluation import (
    BETTER,
    SAME,
    WORSE,
    AgainstDense,
    ArmScores,
    Evaluation,
    Score,
)
from v2drop_cli.report import eval_finding, terms, wording
from v2drop_cli.report.eval_finding import per_cent
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.view import Cell, Fact, Glance, Row, Section, View
from v2drop_cli.report.wording import Tone, plural
from v2drop_cli.units import NOT_AVAILABLE, format_count, format_ratio, format_seconds

FIDELITY = "Fidelity: along dense's own answers"
BY_GROUP = "Score by group"
MOST_BROKEN = 5
"""Broken rows that are told one by one; the document has all."""
_TONES: dict[str | None, Tone] = {WORSE: "bad", BETTER: "good", SAME: "good"}
_NOTHING = Cell("-", "muted", filler=True)


def build_eval_view(found: Evaluation) -> View:
    """Put ``found`` into words."""
    sections = (
        Section(BY_GROUP, tuple(_group_rows(found))),
        Section("Of all answers", tuple(_detail_rows(found))),
        Section(FIDELITY, tuple(_fidelity_rows(found))),
        Section("Tokens and time", tuple(_cost_rows(found))),
    )
    text, tone = eval_finding.finding(found)
    return View(
        facts=tuple(_facts(found)),
        columns=tuple(map(wording.arm_label, found.arms)),
        sections=tuple(section for section in sections if section.rows),
        footer=tuple(footer(found)),
        glance=_glance(found),
        finding=Cell(text, tone),
    )


def summarised_evaluation(found: Evaluation, command: str | None) -> Evaluation:
    """``found`` with its finding in one sentence and the command line that made it."""
    text, _ = eval_finding.finding(found)
    return replace(found, summary=text.replace(GLUE, " "), command=command)


def _glance(found: Evaluation) -> Glance | None:
    if found.data.metric is None:
        return None
    columns = ("score", "of dense", "gained/lost", "p", "prefill")
    about = (terms.SCORE, terms.RETENTION, terms.GAINED, terms.P_VALUE, terms.ROW_SPEEDUP)
    rows = tuple(Row(wording.arm_label(arm), tuple(_glance_cells(arm))) for arm in found.arms)
    return Glance(f"Against dense, {found.data.metric}", columns, rows, about=about)


def _glance_cells(arm: ArmScores) -> Iterator[Cell]:
    yield _score(arm.score)
    against = arm.against_dense
    if against is None:
        yield Cell("reference", "muted")
        yield from (Cell("", "muted") for _ in range(2))
        yield Cell(glued(format_seconds(arm.prefill_s)), value=arm.prefill_s)
        return
    tone = _TONES.get(against.verdict, "plain")
    yield Cell(_retention(against), tone, value=against.retention)
    yield Cell(f"+{against.gained}{GLUE}-{against.lost}")
    yield Cell(_p_value(against.p_value), value=against.p_value)
    yield Cell(format_ratio(against.prefill_speedup), value=against.prefill_speedup)


def _score(score: Score | None) -> Cell:
    if score is None:
        return Cell(NOT_AVAILABLE, "muted")
    low, high = (per_cent(end) for end in score.ci95)
    text = f"{per_cent(score.mean)} {glued(f'[{low}, {high}]')}"
    return Cell(text, short=per_cent(score.mean), value=score.mean)


def _retention(against: AgainstDense) -> str:
    if against.retention is None:
        return NOT_AVAILABLE
    text = per_cent(against.retention)
    if against.ci95 is None:
        return text
    low, high = (per_cent(end) for end in against.ci95)
    return f"{text} {glued(f'[{low}, {high}]')}"


def _p_value(value: float | None) -> str:
    if value is None:
        return NOT_AVAILABLE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _facts(found: Evaluation) -> Iterator[Fact]:
    data, asked = found.data, found.request
    part = "" if found.rows == data.rows else f" of {format_count(data.rows)}"
    how = "" if data.metric is None else f", {data.metric} ({data.metric_source})"
    rows = "row" if found.rows == 1 and not part else "rows"
    yield Fact("data", f"{clean(data.name)}: {found.rows}{part} {rows}{how}")
    parts = [clean(asked.model), asked.dtype, asked.attn_implementation, asked.device]
    parts += [] if asked.fake_quant == AS_IT_IS else [asked.fake_quant]
    parts += [] if asked.batch_size == 1 else [f"batches of {asked.batch_size}"]
    yield Fact("model", ", ".join(map(glued, parts)))


def _group_rows(found: Evaluation) -> Iterator[Row]:
    names = sorted({score.group for arm in found.arms for score in arm.groups if score.group})
    for name in names:
        scores = [next((s for s in arm.groups if s.group == name), None) for arm in found.arms]
        rows = max(score.rows for score in scores if score is not None)
        yield Row(f"{clean(name)} {glued(f'({rows})')}", tuple(map(_score, scores)), terms.SCORE)


def _detail_rows(found: Evaluation) -> Iterator[Row]:
    for name in dict.fromkeys(name for arm in found.arms for name in arm.details):
        values = [arm.details.get(name) for arm in found.arms]
        cells = (_NOTHING if v is None else Cell(per_cent(v), value=v) for v in values)
        yield Row(name.replace("_", " "), tuple(cells))


def _fidelity_rows(found: Evaluation) -> Iterator[Row]:
    kept = [arm.fidelity for arm in found.arms]
    if all(one is None for one in kept):
        return
    known = [one for one in kept if one is not None]
    if len(known) != len(kept):
        return
    apart = (Cell(f"{one.kl:.3g}{GLUE}nat", value=one.kl) for one in known)
    yield Row("KL per token", tuple(apart), terms.KL)
    agree = (Cell(per_cent(one.agreement), value=one.agreement) for one in known)
    yield Row("likeliest token agrees", tuple(agree), terms.AGREEMENT)
    diverged = (Cell(f"{one.diverged}", value=one.diverged) for one in known)
    yield Row("answers that diverge", tuple(diverged), terms.DIVERGED)
    places = (one.first_divergence for one in known)
    yield Row("first at token (median)", tuple(Cell(format_count(place)) for place in places))
    equal = (Cell(f"{one.equal}{GLUE}of{GLUE}{one.rows}") for one in known)
    yield Row("own answer is dense's", tuple(equal))


def _cost_rows(found: Evaluation) -> Iterator[Row]:
    arms = found.arms
    averages = [arm.layer_average_vision_tokens for arm in arms]
    tokens = (Cell(format_count(arm.vision_tokens), value=arm.vision_tokens) for arm in arms)
    yield Row("vision tokens", tuple(tokens), "vision_tokens")
    layers = (Cell(format_count(one), value=one) for one in averages)
    yield Row("layer average", tuple(layers), "layer_average_vision_tokens")
    times = (Cell(glued(format_seconds(arm.prefill_s)), value=arm.prefill_s) for arm in arms)
    yield Row("prefill (median)", tuple(times), "prefill")
    steps = [arm.decode_s_per_token for arm in arms]
    decode = (Cell(glued(format_seconds(one)), value=one) for one in steps)
    yield Row("decode per token", tuple(decode), "decode")
    answers = (Cell(format_count(arm.answer_tokens), value=arm.answer_tokens) for arm in arms)
    yield Row("answer tokens", tuple(answers))


def footer(found: Evaluation, named: int = MOST_BROKEN) -> Iterator[Fact]:
    """How to read it, what is missing, what warns; of the broken rows the first ``named``."""
    yield Fact("reading", _reading(found))
    if any(arm.method == RANDOM for arm in found.arms):
        yield Fact("", wording.READING_RANDOM)
    if found.partial:
        missing = found.data.asked - found.rows - len(found.broken)
        yield Fact("partial", f"{plural(missing, 'row')} not asked yet: --resume", "warn")
    if found.broken:
        yield Fact("broken", f"{plural(len(found.broken), 'row')} could not be asked", "warn")
    yield from broken_facts(found, named)
    for caveat in found.warnings:
        yield Fact("warning", clean(caveat.message), "warn")


def broken_facts(found: Evaluation, most: int) -> Iterator[Fact]:
    """The first broken rows, each with its reason."""
    for one in found.broken[:most]:
        yield Fact(f"row {one.row}", clean(one.reason), "warn")


def _reading(found: Evaluation) -> str:
    batch = ", a row's share of its batch" if found.request.batch_size > 1 else ""
    return (
        f"[low,{GLUE}high] are 95{GLUE}% intervals, of the score Wilson's; of dense: the arm's "
        "score over dense's on the same rows, with a paired interval; gained, lost: rows that did "
        "better, worse than dense; p: McNemar's exact test; prefill: median over the rows"
        f"{batch}, one pass each: v2drop profile measures times"
    )
