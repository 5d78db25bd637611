"""What a sweep says first, in its cells and in its files."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from tests.report import factory, sweeps
from tests.report.regenerate import console
from v2drop_cli.records import Ratio, Verdict
from v2drop_cli.records.curves import (
    BY_PREDICTION,
    ENDED,
    OUT_OF_MEMORY,
    Best,
    Slope,
    unfinished,
)
from v2drop_cli.records.verdicts import REACHES_ONE, SLOWER, WITHIN_NOISE
from v2drop_cli.report.bar_lines import bar_lines
from v2drop_cli.report.sweep_csv import sweep_to_csv
from v2drop_cli.report.sweep_finding import lead, sweep_finding
from v2drop_cli.report.sweep_view import build_sweep_view, summarised_sweep
from v2drop_cli.report.sweep_words import best, exponent, fits, fits_in_full, outcome, sized
from v2drop_cli.report.terminal import render
from v2drop_cli.report.text import GLUE
from v2drop_cli.report.view import Bar, Bars


def said(sweep):
    return sweep_finding(sweep)[0].replace(GLUE, " ")


def judged(verdict, *gains):
    """The sweep whose arm has these prefill speed-ups, all of one verdict."""
    whole = sweeps.sweep()
    dense, arm = whole.curves
    points = []
    for point, gain in zip(arm.points, gains, strict=True):
        found = Verdict("prefill_speedup", verdict, None)
        ratio = factory.comparison(prefill_speedup=Ratio(gain), verdicts=(found,))
        points.append(replace(point, comparison=ratio))
    full = replace(dense, points=tuple(sweeps.point(size, 1.2) for size in sweeps.SIZES))
    return replace(whole, curves=(full, replace(arm, points=tuple(points))))


def test_the_first_words_are_who_is_faster_where_it_can_be_told():
    assert said(sweeps.sweep()).startswith(
        "v2drop prefills faster than dense at every size with room for both: "
        "1.40x at 8 frames and 1.60x at 16 frames; prefill time grows with vision tokens to the "
        "power of 1.20 (dense) and 1.05 (v2drop); 24.0 GiB hold 27 frames (dense) and 44 frames"
    )
    assert said(judged("faster", 1.1, 1.2, 1.3)).startswith(
        "v2drop prefills faster than dense at every size: 1.10x at 8 frames and 1.30x at 32 frames"
    )


def with_prefill(curve, slope):
    return replace(curve, growth=replace(curve.growth, prefill_time=slope))


def test_an_exponent_that_the_sizes_do_not_settle_is_not_said():
    """Measured beside other work: -0.02 [-8.27, 8.23] is no exponent."""
    whole = sweeps.sweep()
    dense, arm = whole.curves
    wide = with_prefill(dense, Slope(-0.02, (-8.27, 8.23)))
    both = said(replace(whole, curves=(wide, with_prefill(arm, Slope(0.9, (0.45, 1.5))))))
    assert "unclear for dense and v2drop: the sizes lie too far off a line" in both
    assert "to the power of" not in both
    one = said(replace(whole, curves=(wide, with_prefill(arm, Slope(0.9, (0.4, 1.4))))))
    assert "to the power of 0.90 (v2drop); how prefill time grows with vision tokens is" in one
    assert "unclear for dense: " in one


def test_nothing_is_claimed_that_the_verdicts_do_not():
    assert said(judged(WITHIN_NOISE, 1.1, 1.2, 1.3)).startswith(
        "v2drop is not shown to prefill faster or slower than dense at any size"
    )
    assert said(judged(SLOWER, 0.8, 0.8, 0.8)).startswith(
        "v2drop prefills slower than dense at every size: 0.80x at 8 frames"
    )
    assert sweep_finding(judged(SLOWER, 0.8, 0.8, 0.8))[1] == "bad"
    assert sweep_finding(judged("faster", 1.1, 1.2, 1.3))[1] == "good"


def test_what_a_partial_sweep_and_an_empty_one_say():
    partial = sweeps.sweep(stopped_by="interrupted", partial=True)
    assert said(partial).startswith("partial, so far: v2drop prefills")
    cut = [replace(curve, points=curve.points[:2]) for curve in partial.curves]
    assert "at every size: 1.40x" in said(replace(partial, curves=tuple(cut)))
    assert ("stopped", "INTERRUPTED: partial", "warn") in [
        (fact.label, fact.text, fact.tone) for fact in build_sweep_view(partial).footer
    ]
    none = [
        replace(curve, points=(sweeps.without_room(8, OUT_OF_MEMORY, "full"),), growth=None)
        for curve in sweeps.sweep().curves
    ]
    assert sweep_finding(sweeps.sweep(curves=tuple(none))) == (
        "no arm had room at any size.",
        "bad",
    )
    assert unfinished("running")
    assert not unfinished("sizes")


def test_the_sentence_is_about_the_method_that_gains_most_not_about_random():
    whole = sweeps.sweep()
    dense, arm = whole.curves
    points = tuple(sweeps.point(size, 1.0, 9.0) for size in sweeps.SIZES)
    other = replace(arm, label="uniform", method="uniform", points=points)
    random = replace(other, label="random", method="random")
    assert lead(replace(whole, curves=(dense, random, arm))).label == "v2drop"
    assert lead(replace(whole, curves=(dense, random, arm, other))).label == "uniform"
    assert lead(replace(whole, curves=(dense, random))).label == "random"
    assert lead(replace(whole, curves=(dense,))) is None
    assert said(replace(whole, curves=(dense,))).startswith("prefill time grows")


def test_arms_that_were_never_at_one_size_together_are_not_compared():
    whole = sweeps.sweep()
    dense, arm = whole.curves
    alone = replace(arm, points=tuple(sweeps.point(size, 1.0) for size in sweeps.SIZES))
    assert said(replace(whole, curves=(dense, alone))).startswith(
        "v2drop has no size in common with dense; prefill time grows"
    )


def test_the_throughput_names_both_sizes_and_what_only_one_side_holds():
    whole = sweeps.batches()
    assert said(whole).endswith(
        "at its best batch size (4) v2drop serves 20.0 requests/s, 1.60x of dense at its own (2)."
    )
    dense, arm = whole.curves
    ended = replace(
        dense, points=(*dense.points[:2], sweeps.without_room(4, OUT_OF_MEMORY, "full"))
    )
    assert said(replace(whole, curves=(ended, arm))).endswith(
        "at its own (2), which has no room for 4."
    )
    same = Best("v2drop", 4, 20.0, Ratio(1.6, (0.9, 2.0)), Verdict("x", WITHIN_NOISE, REACHES_ONE))
    unclear = replace(whole, throughput=(whole.throughput[0], same))
    assert "no arm is shown to serve more" in said(unclear)
    text, tone = best(same, unclear)
    assert "within noise" in text
    assert tone == "plain"


def test_words_of_sizes_and_exponents():
    sizes = [sized("frames", 1), sized("image_size", 448), sized("text_tokens", 2)]
    assert [each.replace(GLUE, " ") for each in sizes] == ["1 frame", "448×448", "2 text tokens"]
    assert exponent(None) == "n/a"
    assert exponent(Slope(1.234, None)) == "1.23"
    assert exponent(Slope(1.0, (-0.5, 2.0))).replace(GLUE, " ") == "1.00 [-0.50, 2.00]"
    assert outcome(ENDED) == ("-", "muted")
    assert outcome("melted_away") == ("melted away", "muted")


@pytest.mark.parametrize(
    ("changes", "short", "full", "tone"),
    [
        ({}, "27 frames", "27 frames ran, with a peak of 23.0 GiB of 24.0 GiB; predicted from "
         "shapes: 28 frames", "plain"),
        ({"next_size": None, "predicted_size": None}, "27 frames or more",
         "27 frames or more ran, with a peak of 23.0 GiB of 24.0 GiB", "plain"),
        ({"by": BY_PREDICTION}, "27 frames (predicted)",
         "27 frames (predicted): 23.0 GiB of 24.0 GiB; a run there peaked at 23.0 GiB", "plain"),
        ({"by": BY_PREDICTION, "measured_bytes": 25 * sweeps.GIB}, "27 frames (predicted)",
         "27 frames (predicted): 23.0 GiB of 24.0 GiB; a run there peaked at 25.0 GiB, over the "
         "limit", "warn"),
        ({"by": BY_PREDICTION, "measured_bytes": None, "unchecked": "too slow"},
         "27 frames (predicted)",
         "27 frames (predicted): 23.0 GiB of 24.0 GiB; not checked by a run: too slow", "plain"),
        ({"bytes": None, "size": None, "next_size": 1}, "nothing",
         "not even 1 frame in 24.0 GiB", "warn"),
        ({"bytes": None, "size": None, "next_size": 2}, "nothing",
         "not even 2 frames in 24.0 GiB", "warn"),
    ],
)  # fmt: skip
def test_what_fits_is_said_with_how_it_was_found(changes, short, full, tone):
    found = replace(sweeps.capacity(27), **changes)
    assert fits(found, "frames").replace(GLUE, " ") == short
    text, told = fits_in_full(found, "frames")
    assert (text.replace(GLUE, " "), told) == (full, tone)
    assert fits(None, "frames") == "n/a"


def test_a_size_that_was_not_reached_is_not_called_out_of_memory():
    whole = sweeps.sweep(stopped_by="interrupted", partial=True)
    cut = [replace(curve, points=curve.points[:1]) for curve in whole.curves]
    view = build_sweep_view(replace(whole, curves=tuple(cut)))
    first = view.sections[0].rows[0].cells
    assert [cell.text for cell in first[1:]] == ["not reached", "not reached"]


def test_a_model_that_takes_every_picture_at_one_size_is_said_to():
    def still(point):
        return replace(point, vision_tokens=576)

    whole = sweeps.sweep()
    curves = [replace(c, points=tuple(map(still, c.points))) for c in whole.curves]
    told = [fact.text for fact in build_sweep_view(replace(whole, curves=tuple(curves))).footer]
    assert "this model's vision tokens do not grow with the frames: 576 at every size" in told
    assert not any("do not grow" in fact.text for fact in build_sweep_view(whole).footer)


def test_a_peak_over_the_limit_is_said():
    whole = sweeps.sweep(max_memory_bytes=17 * sweeps.GIB)
    said = [(fact.label, fact.text.replace(GLUE, " ")) for fact in build_sweep_view(whole).footer]
    over = "32 frames: its peak of 18.0 GiB is over the 17.0 GiB asked for"
    assert ("v2drop", over) in said
    assert sum("asked for" in text for _, text in said) == 1


def test_the_summary_is_the_sentence_with_plain_spaces():
    told = summarised_sweep(sweeps.sweep(), "v2drop sweep")
    assert told.summary == said(sweeps.sweep())
    assert told.command == "v2drop sweep"


def test_every_number_is_in_the_csv():
    rows = list(csv.DictReader(sweep_to_csv(sweeps.sweep()).splitlines()))
    dense = [row for row in rows if (row["arm"], row["frames"]) == ("dense", "8")]
    samples = [float(row["value"]) for row in dense if row["quantity"] == "prefill_s"]
    assert samples == list(sweeps.point(8, 1.2).prefill_s.samples)
    once = {row["quantity"]: row["value"] for row in dense if row["round"] == ""}
    assert once["peak_bytes"] == str(15 * sweeps.GIB)
    assert float(once["tokens_per_s"]) == 1 / 0.0123
    ended = [row for row in rows if row["outcome"] == OUT_OF_MEMORY]
    assert {row["quantity"] for row in ended} == {
        "prompt_tokens", "vision_tokens", "predicted_bytes",
    }  # fmt: skip


def test_bars_fit_the_page_or_are_left_out():
    bars = Bars("Prefill", (Bar("a", "8", 2.0, "2 s"), Bar("", "16", 4.0, "4 s")))
    for width in (40, 80):
        lines = [line.plain for line in bar_lines(bars, width, "utf-8")]
        assert max(map(len, lines)) <= width
        assert lines[3].count("█") == 2 * lines[2].count("█")
    assert "####" in bar_lines(bars, 40, "ascii")[3].plain
    assert bar_lines(bars, 20, "utf-8") == []
    assert bar_lines(Bars("Prefill", ()), 80, "utf-8") == []


def test_a_pipe_has_no_bars():
    for terminal in (True, False):
        screen, stream = console(100, terminal=terminal)
        render(build_sweep_view(sweeps.sweep()), screen)
        assert ("█" in stream.getvalue().decode()) == terminal


def test_hostile_labels_are_written_out():
    whole = sweeps.sweep()
    dense, arm = whole.curves
    evil = replace(arm, label="a\x1b[31m")
    view = build_sweep_view(replace(whole, curves=(dense, evil)))
    texts = [section.title for section in view.sections]
    assert texts == ["dense", "a\\x1b[31m"]
    assert "\x1b" not in view.finding.text


def test_a_time_that_is_missing_reads_so():
    whole = sweeps.sweep()
    dense, arm = whole.curves
    bare = replace(dense.points[0], decode_s_per_token=None, tokens_per_s=None, memory=None)
    view = build_sweep_view(replace(whole, curves=(replace(dense, points=(bare,)), arm)))
    rows = {row.label: row.cells[0].text for row in view.sections[0].rows}
    assert (rows["decode / token"], rows["tokens / s"], rows["peak memory"]) == ("n/a",) * 3
