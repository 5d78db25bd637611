"""The one sentence of a report claims what the verdicts claim, and says what they do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report import factory
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Lead, Ratio
from v2drop_cli.records.verdicts import (
    FASTER,
    FEW_ROUNDS,
    NOISE_FLOOR,
    NULL_OFF,
    REACHES_ONE,
    SLOWER,
    UNCLEAR,
    WITHIN_NOISE,
    Verdict,
)
from v2drop_cli.report.finding import NO_ANSWERS, finding
from v2drop_cli.report.text import GLUE

FAST, SLOW = (FASTER, None), (SLOWER, None)
NOISE, FEW, OFF = (WITHIN_NOISE, REACHES_ONE), (UNCLEAR, FEW_ROUNDS), (UNCLEAR, NULL_OFF)


def arm(label="v2drop", prefill=FAST, decode=NOISE, generate=FAST, **changes):
    """A comparison that was judged so."""
    said = {"prefill_speedup": prefill, "decode_speedup": decode, "generate_speedup": generate}
    verdicts = tuple(Verdict(metric, *words) for metric, words in said.items() if words)
    return factory.comparison(label, verdicts=verdicts, **changes)


def sentence(*comparisons, **changes):
    text, _ = finding(factory.report(comparisons=comparisons, **changes))
    return text.replace(GLUE, " ")


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ((FAST, NOISE, FAST),
         "v2drop is faster than dense in prefill (2.17x) and generate (1.39x), "
         "within noise in decode (1.00x)"),
        ((FAST, FAST, FAST),
         "v2drop is faster than dense in prefill (2.17x), decode (1.00x) and generate (1.39x)"),
        ((FAST, SLOW, NOISE),
         "v2drop is faster than dense in prefill (2.17x), slower than dense in decode (1.00x), "
         "within noise in generate (1.39x)"),
        ((NOISE, NOISE, NOISE),
         "v2drop shows no gain over dense: within noise in prefill (2.17x), decode (1.00x) and "
         "generate (1.39x)"),
        ((SLOW, SLOW, SLOW),
         "v2drop is slower than dense in prefill (2.17x), decode (1.00x) and generate (1.39x)"),
        ((FEW, FEW, FEW),
         "v2drop is not shown to be faster or slower than dense: unclear in prefill (2.17x), "
         "decode (1.00x) and generate (1.39x): too few rounds"),
        ((NOISE, OFF, FEW),
         "v2drop is not shown to be faster or slower than dense: within noise in prefill (2.17x), "
         "unclear in decode (1.00x) and generate (1.39x): dense unsteady and too few rounds"),
        ((None, None, None), "v2drop was not timed against dense"),
    ],
)  # fmt: skip
def test_who_is_faster_and_by_how_much(verdicts, said):
    assert sentence(arm(**dict(zip(("prefill", "decode", "generate"), verdicts, strict=True)))) == (
        f"{said}; same answer; KV cache 39.2 % and peak memory 96.4 % of dense."
    )


def test_another_answer_and_more_memory_are_said_as_plainly():
    found = arm(answers_identical=False, kv_cache_ratio=0.8, peak_memory_ratio=None)
    assert sentence(found).endswith("; another answer; KV cache 125 % of dense.")
    nothing = arm(kv_cache_ratio=None, peak_memory_ratio=None)
    assert sentence(nothing).endswith("; same answer.")


def test_dummy_weights_say_nothing_of_answers():
    request = factory.request(weights="dummy")
    for found in ([arm()], [arm(answers_identical=False), arm("other")]):
        said = sentence(*found, request=request)
        assert NO_ANSWERS in said
        assert "same" not in said
        assert "another answer" not in said


def test_one_arm_alone_finds_nothing():
    assert finding(factory.dense_only()) is None


def test_a_profile_speaks_of_the_method_and_not_of_its_yardstick():
    text, tone = finding(judged(factory.profiled()))
    assert text.startswith("v2drop is faster than dense in")
    assert "random" not in text
    assert tone == "good"


def lead(name, *tied, same_answer=True):
    """What the judge says of the fastest arm."""
    return Lead(name, "generate_speedup", same_answer, tied)


def test_of_several_arms_the_fastest_with_the_right_answer_is_named():
    best = arm("fast 3:0.5", generate_speedup=Ratio(1.2, (1.1, 1.3)))
    wrong = arm("wrong", generate_speedup=Ratio(1.9, (1.8, 2.0)), answers_identical=False)
    noisy = arm("noisy", prefill=NOISE, generate=NOISE, generate_speedup=Ratio(9.0, (0.5, 99.0)))
    slow = arm("slow", prefill=SLOW, generate=SLOW)
    assert sentence(best, wrong, noisy, slow, lead=lead("fast 3:0.5")) == (
        "2 of 4 arms are faster than dense, 1 slower; the fastest with the same answer is "
        "fast 3:0.5, prefill 2.17x and generate 1.20x; KV cache 39.2 % and peak memory 96.4 % "
        "of dense; 3 of 4 answers are the same."
    )
    assert sentence(wrong, noisy, lead=lead("wrong", same_answer=False)) == (
        "1 of 2 arms is faster than dense; the fastest is wrong, with another answer; "
        "1 of 2 answers is the same."
    )
    assert sentence(noisy, slow) == (
        "none of 2 arms is faster than dense, 1 slower; 2 of 2 answers are the same."
    )


@pytest.mark.parametrize(
    ("tied", "names"),
    [
        (("b",), "a and b"),
        (("b", "c"), "a, b and 1 more"),
        (("b", "c", "d", "e"), "a, b and 3 more"),
    ],
)
def test_no_arm_is_called_the_fastest_that_is_not_shown_to_be(tied, names):
    arms = [arm(name) for name in "abcde"]
    start = "5 of 5 arms are faster than dense; the fastest "
    assert sentence(*arms, lead=lead("a", *tied)) == (
        f"{start}with the same answer are {names}, within noise; 5 of 5 answers are the same."
    )
    others = [arm(name, answers_identical=False) for name in "abcde"]
    assert sentence(*others, lead=lead("a", *tied, same_answer=False)) == (
        f"{start}are {names}, within noise, with other answers; 0 of 5 answers are the same."
    )
    dummy = factory.request(weights="dummy")
    assert sentence(*others, lead=lead("a", *tied, same_answer=False), request=dummy) == (
        f"{start}are {names}, within noise; {NO_ANSWERS}."
    )


def test_the_lead_of_a_report_is_what_the_judge_made_of_it():
    """The fastest of the twelve gives another answer; of the others one is shown to be ahead."""
    text, _ = finding(judged(factory.twelve_arms()))
    assert "the fastest with the same answer is v2drop 3:0.8,8:0.8,12:0.8," in text
    text, _ = finding(judged(factory.rivals()))
    assert "the fastest with the same answer are v2drop budget 192, fastv budget 192 and " in text
    assert "within noise; " in text


def test_of_several_arms_nothing_is_said_that_is_not_shown():
    few = {"prefill": FEW, "decode": FEW, "generate": FEW}
    assert sentence(arm("a", **few), arm("b", **few)).startswith(
        "none of 2 arms is shown to be faster than dense; "
    )
    assert sentence(arm("a", **few), arm("b")).startswith("1 of 2 arms is faster than dense; ")


def test_several_arms_that_were_not_timed():
    untimed = [arm(name, prefill=None, decode=None, generate=None) for name in "ab"]
    assert sentence(*untimed) == "the 2 arms were not timed against dense."


def test_a_peak_within_noise_is_not_spoken_of():
    found = arm()
    noisy = Verdict("peak_memory_ratio", WITHIN_NOISE, NOISE_FLOOR)
    said = sentence(replace(found, verdicts=(*found.verdicts, noisy)))
    assert said.endswith("; KV cache 39.2 % of dense.")


def test_a_slower_whole_is_slower_whatever_its_prefill():
    both = (arm("a", generate=SLOW), arm("b", generate=NOISE))
    assert sentence(*both).startswith("1 of 2 arms is faster than dense, 1 slower; ")


@pytest.mark.parametrize("report", [factory.report(), factory.profiled()])
@pytest.mark.parametrize("why", ["interrupted", "running"])
def test_what_was_interrupted_says_so_first(report, why):
    text, _ = finding(replace(judged(report), stopped_by=why))
    assert text.startswith("partial, so far: v2drop is faster")


@pytest.mark.parametrize(
    ("found", "tone"),
    [
        ([arm()], "good"),
        ([arm(answers_identical=False)], "plain"),
        ([arm(prefill=NOISE, generate=NOISE)], "plain"),
        ([arm(prefill=SLOW, generate=NOISE)], "bad"),
        ([arm(prefill=SLOW, generate=SLOW), arm("other")], "good"),
    ],
)
def test_the_tone_is_good_news_only_for_a_right_answer(found, tone):
    assert finding(factory.report(comparisons=tuple(found)))[1] == tone


def test_names_are_cleaned():
    assert "\\x1b[31m" in sentence(arm("\x1b[31mred"))
    assert "\x1b" not in sentence(arm("\x1b[31mred"), arm("b"))
