"""A verdict is worded as it is stored; no word decides anew what a number shows."""

from __future__ import annotations

import pytest

from tests.report import factory
from v2drop_cli.records import Ratio
from v2drop_cli.records.verdicts import (
    FASTER,
    FEW_ROUNDS,
    NO_INTERVAL,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ONE,
    REASONS,
    SLOWER,
    UNCLEAR,
    VERDICTS,
    WITHIN_NOISE,
    Verdict,
)
from v2drop_cli.report.claims import TONES, Claim, claims, legend, reason_words
from v2drop_cli.report.text import GLUE

WIDE, NONE = Ratio(1.36, (1.19, 1.58)), Ratio(1.36)


def claim(ratio, verdict=None, reason=None):
    return Claim("prefill", ratio, verdict and Verdict("prefill_speedup", verdict, reason))


@pytest.mark.parametrize(
    ("found", "said", "brief", "tone"),
    [
        (claim(WIDE, FASTER), "1.36x [1.19, 1.58]", "1.36x", "good"),
        (claim(WIDE, SLOWER), "1.36x [1.19, 1.58] slower", "1.36x", "bad"),
        (claim(WIDE, WITHIN_NOISE, REACHES_ONE), "1.36x [1.19, 1.58] within noise", "~1.36x",
         "muted"),
        (claim(WIDE, WITHIN_NOISE, NOISE_FLOOR), "1.36x [1.19, 1.58] noise floor", "~1.36x",
         "muted"),
        (claim(WIDE, UNCLEAR, NULL_OFF), "1.36x [1.19, 1.58] dense unsteady", "?1.36x", "warn"),
        (claim(NONE, UNCLEAR, FEW_ROUNDS), "1.36x too few rounds", "?1.36x", "warn"),
        (claim(NONE, UNCLEAR, NO_INTERVAL), "1.36x no interval", "?1.36x", "warn"),
        (claim(WIDE, UNCLEAR, "of_a_later_version"), "1.36x [1.19, 1.58] of a later version",
         "?1.36x", "warn"),
        (claim(WIDE), "1.36x [1.19, 1.58]", "1.36x", "muted"),
        (claim(None), "n/a", "n/a", "muted"),
    ],
)  # fmt: skip
def test_every_ratio_says_its_interval_and_why_nothing_is_claimed(found, said, brief, tone):
    words, how = found.said
    assert (words.replace(GLUE, " "), how) == (said, tone)
    assert found.brief == (brief, tone)


def test_every_verdict_has_a_tone_and_every_reason_a_legend():
    assert set(VERDICTS) <= set(TONES)
    for reason in REASONS:
        found = factory.comparison(verdicts=(Verdict("prefill_speedup", UNCLEAR, reason),))
        [text] = legend([found])
        assert reason_words(reason) in text.replace(GLUE, " ")


def test_the_legend_explains_what_occurs_and_nothing_else():
    def arm(reason):
        return factory.comparison(verdicts=(Verdict("prefill_speedup", UNCLEAR, reason),))

    assert legend([]) == ()
    assert legend([arm(None)]) == ()
    assert len(legend([arm(REACHES_ONE), arm(REACHES_ONE)])) == 1
    everything = legend(map(arm, REASONS))
    assert len(everything) == len(REASONS)
    floors = [text for text in everything if "noise floor" in text]
    assert len(floors) == 1
    assert not any("noise floor" in text for text in legend(map(arm, (REACHES_ONE, FEW_ROUNDS))))


def test_a_verdict_belongs_to_its_own_speedup():
    found = factory.comparison(verdicts=(Verdict("generate_speedup", FASTER, None),))
    assert [item.verdict is not None for item in claims(found)] == [False, False, True]
    assert [item.name for item in claims(found)] == ["prefill", "decode", "generate"]
