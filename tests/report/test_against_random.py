"""What is within noise of random selection is said in words, and random is marked by its name."""

from __future__ import annotations

from dataclasses import replace

from tests.report import factory
from tests.report.regenerate import shown
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Ratio
from v2drop_cli.records.verdicts import FASTER, REACHES_ONE, SLOWER, WITHIN_NOISE, Verdict
from v2drop_cli.report import wording
from v2drop_cli.report.against_random import TITLE, notes, rows
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.markdown import to_markdown
from v2drop_cli.report.text import GLUE

SAID = {FASTER: None, SLOWER: None, WITHIN_NOISE: REACHES_ONE}


def against(label, prefill, generate=WITHIN_NOISE):
    """An arm that was judged so against ``random``."""
    said = {"prefill_speedup": prefill, "generate_speedup": generate}
    verdicts = tuple(Verdict(metric, word, SAID[word]) for metric, word in said.items())
    return factory.comparison(label, reference="random", verdicts=verdicts)


def report(*found):
    labels = ["random", *(item.arm for item in found)]
    arms = [factory.dropped(label) for label in labels]
    return factory.report(
        arms=(factory.dense(), *arms),
        comparisons=tuple(map(factory.comparison, labels)),
        random_comparisons=found,
    )


def lines(found):
    return [(fact.label, fact.text.replace(GLUE, " ")) for fact in notes(found)]


def test_every_arm_is_told_by_name_what_it_is_against_random():
    found = report(
        against("a", WITHIN_NOISE), against("b", SLOWER), against("c", FASTER, FASTER),
        against("d", WITHIN_NOISE),
    )  # fmt: skip
    assert lines(found) == [
        ("random*", "in prefill, faster than random: c; within noise of random: a, d; "
         "slower than random: b"),
        ("", "in generate, faster than random: c; within noise of random: a, b, d"),
    ]  # fmt: skip
    text = " ".join(shown(factory.profiled(), 200, terminal=True).split())
    assert "random* in prefill, within noise of random: v2drop in generate," in text


def test_a_schedule_is_said_where_the_method_alone_names_several_arms():
    found = report(
        against("v2drop 1:0.5", SLOWER),
        against("v2drop 1:0.2", SLOWER),
        against("dart 1:9t", SLOWER),
    )
    assert lines(found)[0][1] == "in prefill, slower than random: v2drop 1:0.5, v2drop 1:0.2, dart"


def test_without_random_nothing_is_said_of_it():
    found = judged(factory.report())
    assert lines(found) == []
    assert list(rows(found)) == []
    assert "random" not in shown(factory.report(), 100, terminal=True)


def test_the_numbers_stand_in_a_section_of_their_own():
    found = judged(report(against("a", SLOWER)))
    [section] = [one for one in build_view(found).sections if one.title == TITLE]
    cells = {
        row.label: [cell.text.replace(GLUE, " ") for cell in row.cells] for row in section.rows
    }
    assert cells["prefill"] == ["-", "reference", "2.17x [2.09, 2.26]"]
    assert cells["decode"] == ["-", "reference", "1.00x [0.97, 1.05] within noise"]


def test_an_arm_without_a_random_arm_of_as_many_tokens_is_not_held_against_any():
    found = report(against("a", SLOWER))
    other = factory.dropped("dart")
    found = replace(found, arms=(*found.arms, other))
    assert [row.cells[-1].text for row in rows(found)] == ["n/a"] * 3
    assert "dart" not in str(lines(found))


def test_random_is_marked_wherever_an_arm_is_named():
    assert wording.arm_label(factory.dropped("random")) == "random*"
    assert wording.arm_label(factory.dropped("random 3:0.5")) == "random* 3:0.5"
    assert wording.arm_label(factory.dropped("half", method="random")) == "half*"
    assert wording.arm_label(factory.dropped("randomised")) == "randomised"
    found = judged(factory.profiled())
    for text in (shown(factory.profiled(), 120, terminal=True), to_markdown(build_view(found))):
        assert wording.READING_RANDOM.replace("*", "") in text.replace("*", "").replace("\\", "")
    assert [name for name in build_view(found).columns if "random" in name] == ["random*"]
    assert [s.name for s in build_view(found).glance.spreads if "random" in s.name] == ["random*"]


def test_the_verdict_on_random_is_stored_and_judged_like_any():
    """Beyond the interval of dense against dense, 0.98 to 1.02, or not."""
    ratios = {"a": (1.03, (1.021, 1.04)), "b": (1.01, (1.006, 1.015)), "c": (0.9, (0.89, 0.91))}
    found = judged(
        report(
            *(
                factory.comparison(label, reference="random", prefill_speedup=Ratio(*ratio))
                for label, ratio in ratios.items()
            )
        )
    )
    said = [item.verdict("prefill_speedup").verdict for item in found.random_comparisons]
    assert said == [FASTER, WITHIN_NOISE, SLOWER]
