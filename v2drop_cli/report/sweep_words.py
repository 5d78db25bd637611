"""The words of a sweep: what grows, by which power, what fits, who serves most."""

from __future__ import annotations

from v2drop_cli.records.curves import (
    BATCH_SIZE,
    BY_PREDICTION,
    ENDED,
    FRAMES,
    IMAGE_SIZE,
    OUT_OF_MEMORY,
    OVER_LIMIT,
    PROMPT_TOKENS,
    ROWS,
    TEXT_TOKENS,
    VISION_TOKENS,
    Best,
    Capacity,
    Slope,
    Sweep,
)
from v2drop_cli.records.verdicts import LESS, MORE
from v2drop_cli.report.claims import reason_words
from v2drop_cli.report.text import GLUE, TIMES, clean, glued
from v2drop_cli.report.wording import Said, Tone
from v2drop_cli.units import NOT_AVAILABLE, format_bytes, format_rate, format_ratio

_UNITS = {
    FRAMES: ("frame", "frames"),
    BATCH_SIZE: ("row", "rows"),
    TEXT_TOKENS: ("text token", "text tokens"),
}
AXIS_WORDS = {
    VISION_TOKENS: "vision tokens",
    ROWS: "rows of the batch",
    PROMPT_TOKENS: "tokens of the prompt",
}
_OUTCOMES: dict[str, Said] = {
    OUT_OF_MEMORY: ("out of memory", "bad"),
    OVER_LIMIT: ("over the limit", "bad"),
    ENDED: ("-", "muted"),
}
_GAINS: dict[str, Tone] = {MORE: "good", LESS: "bad"}


def sized(dimension: str, size: int) -> str:
    """``8 frames``, ``448x448``, ``1 row``, as one word."""
    if dimension == IMAGE_SIZE:
        return f"{size}{TIMES}{size}"
    one, several = _UNITS.get(dimension, (dimension, dimension))
    return glued(f"{size} {one if size == 1 else several}")


def outcome(name: str) -> Said:
    """What stands where no time does; one of a later version reads as it is spelled."""
    return _OUTCOMES.get(name, (clean(name.replace("_", " ")), "muted"))


def exponent(slope: Slope | None) -> str:
    """``1.05 [0.98, 1.12]``; the interval is left out for two sizes."""
    if slope is None:
        return NOT_AVAILABLE
    text = f"{slope.exponent:.2f}"
    if slope.ci95 is None:
        return text
    low, high = slope.ci95
    return f"{text} [{low:.2f},{GLUE}{high:.2f}]"


def fits(found: Capacity | None, dimension: str) -> str:
    """``42 frames``, ``42 frames (predicted)``, ``1024 frames or more``, ``nothing``."""
    if found is None:
        return NOT_AVAILABLE
    if found.size is None:
        return "nothing"
    text = sized(dimension, found.size)
    if found.next_size is None:
        text += f" or{GLUE}more"
    return f"{text} (predicted)" if found.by == BY_PREDICTION else text


def fits_in_full(found: Capacity, dimension: str) -> Said:
    """The prediction beside what was measured, and how it was found."""
    limit = format_bytes(found.limit_bytes)
    if found.size is None:
        return f"not even {sized(dimension, found.next_size or 1)} in {glued(limit)}", "warn"
    text = fits(found, dimension)
    if found.by == BY_PREDICTION:
        text += f": {glued(format_bytes(found.bytes))} of {glued(limit)}"
        if found.measured_bytes is not None:
            over = found.measured_bytes > found.limit_bytes
            text += f"; a run there peaked at {glued(format_bytes(found.measured_bytes))}"
            return text + (", over the limit" if over else ""), "warn" if over else "plain"
        return f"{text}; not checked by a run: {clean(found.unchecked or '')}", "plain"
    text += f" ran, with a peak of {glued(format_bytes(found.bytes))} of {glued(limit)}"
    if found.predicted_size is not None:
        text += f"; predicted from shapes: {sized(dimension, found.predicted_size)}"
    return text, "plain"


def best(found: Best, sweep: Sweep) -> Said:
    """Requests a second at an arm's own best size, and what that is of the first arm's."""
    text = f"{format_rate(found.requests_per_s)} requests/s at {sized(sweep.dimension, found.size)}"
    if found.gain is None:
        return text, "plain"
    text += f", {glued(format_ratio(found.gain.median))} of {clean(sweep.curves[0].label)}"
    if found.gain.ci95 is not None:
        low, high = (format_ratio(end).removesuffix("x") for end in found.gain.ci95)
        text += f" [{low},{GLUE}{high}]"
    if found.verdict is not None and found.verdict.reason is not None:
        text += f", {reason_words(found.verdict.reason)}"
    return text, _GAINS.get(found.verdict.verdict if found.verdict else "", "plain")
