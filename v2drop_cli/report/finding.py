"""The one sentence of a report: who is faster, by how much, is the answer right, what of memory.

It claims what the stored verdicts claim and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from v2drop_cli.records import DUMMY, Comparison, Lead, Report
from v2drop_cli.records.verdicts import FASTER, SLOWER, UNCLEAR, WITHIN_NOISE
from v2drop_cli.report.claims import Claim, claims, reason_words
from v2drop_cli.report.text import GLUE, clean, glued
from v2drop_cli.report.wording import Said, Tone, listed, plural, share
from v2drop_cli.units import format_ratio

NO_ANSWERS = "answers of dummy weights mean nothing"
_CLAIMED = (FASTER, SLOWER)
# So many arms that may be the fastest are named.
_TIED_SHOWN = 2
_ORDER = (FASTER, SLOWER, WITHIN_NOISE, UNCLEAR)


def finding(report: Report) -> Said | None:
    """The sentence and its tone; ``None`` where nothing was compared."""
    found = _judged_arms(report)
    if not found:
        return None
    parts = _one(report, found[0]) if len(found) == 1 else _several(report, found)
    text = "; ".join(part for part in parts if part)
    start = "partial, so far: " if report.partial else ""
    return f"{start}{text}.", _tone(report, found)


def summarised(report: Report, command: str | None) -> Report:
    """``report`` with the sentence in it, and with the command line that made it."""
    said = finding(report)
    summary = None if said is None else said[0].replace(GLUE, " ")
    return replace(report, summary=summary, command=command)


def _judged_arms(report: Report) -> list[Comparison]:
    """All arms but random selection, where that is what another arm is held against."""
    found = [item for item in report.comparisons if item.arm not in report.yardsticks]
    return found or list(report.comparisons)


# One arm ---------------------------------------------------------------------------------------


def _one(report: Report, found: Comparison) -> Iterator[str]:
    yield f"{clean(found.arm)} {_speed(claims(found), clean(found.reference))}"
    if report.request.weights == DUMMY:
        yield NO_ANSWERS
    else:
        yield "same answer" if found.answers_identical else "another answer"
    yield _memory(found)


def _speed(found: Sequence[Claim], reference: str) -> str:
    """``is faster than dense in prefill (2.17x) and generate (1.39x), within noise in decode``."""
    known = [claim for claim in found if claim.verdict is not None and claim.ratio is not None]
    if not known:
        return f"was not timed against {reference}"
    by_verdict = {
        verdict: [claim for claim in known if claim.verdict and claim.verdict.verdict == verdict]
        for verdict in _ORDER
    }
    groups = [_group(verdict, held, reference) for verdict, held in by_verdict.items() if held]
    start = "is "
    if not any(by_verdict[verdict] for verdict in _CLAIMED):
        start = f"shows no gain over {reference}: "
        if by_verdict[UNCLEAR]:
            start = f"is not shown to be faster or slower than {reference}: "
    return start + ", ".join(groups)


def _group(verdict: str, found: Sequence[Claim], reference: str) -> str:
    names = listed([glued(f"{claim.name} ({_ratio(claim)})") for claim in found])
    if verdict in _CLAIMED:
        return f"{verdict} than {reference} in {names}"
    reasons = {claim.verdict.reason for claim in found if claim.verdict and claim.verdict.reason}
    why = f": {listed(sorted(map(reason_words, reasons)))}" if verdict == UNCLEAR else ""
    return f"{verdict} in {names}{why}"


def _ratio(claim: Claim) -> str:
    return format_ratio(claim.ratio.median if claim.ratio else None)


def _memory(found: Comparison) -> str:
    """``KV cache 39.2 % and peak memory 96.4 % of dense``; nothing of what is not shown."""
    noisy = {item.metric for item in found.verdicts if item.verdict == WITHIN_NOISE}
    parts = [
        f"{name} {glued(share(ratio))}"
        for name, ratio in (
            ("KV cache", found.kv_cache_ratio),
            ("peak memory", None if "peak_memory_ratio" in noisy else found.peak_memory_ratio),
        )
        if ratio
    ]
    return f"{listed(parts)} of {clean(found.reference)}" if parts else ""


# Several arms ----------------------------------------------------------------------------------


def _several(report: Report, found: Sequence[Comparison]) -> Iterator[str]:
    count = len(found)
    if not any(item.verdicts for item in found):
        yield f"the {count} arms were not timed against {clean(found[0].reference)}"
        return
    said = [item.speed for item in found]
    faster, slower = said.count(FASTER), said.count(SLOWER)
    verb = "is" if faster < 2 else "are"
    shown = " shown to be" if any(map(_unclear, found)) and not faster else ""
    who = f"{faster or 'none'} of {count} arms {verb}{shown} faster"
    yield f"{who} than {clean(found[0].reference)}" + (f", {slower} slower" if slower else "")
    if report.lead is not None:
        yield from _fastest(report, report.lead)
    if report.request.weights == DUMMY:
        yield NO_ANSWERS
    else:
        same = sum(item.answers_identical for item in found)
        yield f"{same} of {plural(count, 'answer')} {'is' if same == 1 else 'are'} the same"


def _fastest(report: Report, lead: Lead) -> Iterator[str]:
    """One arm where it is shown to be faster than the others; else all that it may be."""
    which = "the fastest with the same answer" if lead.same_answer else "the fastest"
    wrong = not lead.same_answer and report.request.weights != DUMMY
    if lead.tied:
        names = _named((lead.arm, *lead.tied))
        yield f"{which} are {names}, within noise" + (", with other answers" if wrong else "")
    elif wrong:
        yield f"{which} is {clean(lead.arm)}, with another answer"
    else:
        [best] = [item for item in report.comparisons if item.arm == lead.arm]
        yield f"{which} is {clean(lead.arm)}, {_gains(best)}"
        yield _memory(best)


def _named(arms: Sequence[str]) -> str:
    """The first of them by name, the others by number: ``a, b and 4 more``."""
    shown = [clean(arm) for arm in arms[:_TIED_SHOWN]]
    left = len(arms) - len(shown)
    return listed([*shown, f"{left} more"] if left else shown)


def _unclear(found: Comparison) -> bool:
    """Whether the numbers show neither that it is faster nor that it is not."""
    verdicts = {claim.name: claim.verdict.verdict for claim in claims(found) if claim.verdict}
    return found.speed is None and UNCLEAR in (verdicts.get("generate"), verdicts.get("prefill"))


def _gains(found: Comparison) -> str:
    known = [claim for claim in claims(found) if claim.verdict and claim.ratio]
    claimed = [claim for claim in known if claim.verdict and claim.verdict.verdict in _CLAIMED]
    return listed([glued(f"{claim.name} {_ratio(claim)}") for claim in claimed])


def _tone(report: Report, found: Sequence[Comparison]) -> Tone:
    """Good news: something is faster, and its answer is the same."""
    said = [item.speed for item in found]
    dummy = report.request.weights == DUMMY
    pairs = zip(said, found, strict=True)
    if any(v == FASTER and (dummy or item.answers_identical) for v, item in pairs):
        return "good"
    return "bad" if SLOWER in said else "plain"
