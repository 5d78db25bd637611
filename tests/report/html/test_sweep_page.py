"""The page of a sweep: its curves, its document, and that hostile text stays text."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from tests.report import sweeps
from tests.report.html.test_pages import EVIL, Read, saved
from v2drop_cli.report.html.sweep_page import sweep_to_html
from v2drop_cli.report.sweep_view import summarised_sweep


def test_the_page_says_what_the_terminal_says_and_holds_the_document():
    sweep = summarised_sweep(sweeps.sweep(), "v2drop sweep --frames 8,16,32")
    page = sweep_to_html(sweep)
    text, name = saved(page)
    assert (json.loads(text), name) == (json.loads(sweep.dumps()), "sweep.json")
    read = Read(page)
    heading = " ".join(read.texts["h1"]).replace("\u00a0", " ")
    assert sweep.summary in heading
    assert "v2drop sweep --frames 8,16,32" in read.text
    assert "out of memory" in read.text


def test_every_measured_size_is_a_bar_in_proportion():
    """Five points were measured; where an arm had no room there is no bar."""
    page = sweep_to_html(sweeps.sweep())
    for title in ("Prefill", "Decode, per token", "Tokens a second", "Peak memory"):
        assert f">{title}</a></figcaption>" in page, title
    figures = page.split('id="sizes"')[1].split("<figure")[1:]
    assert [figure.count("<rect") for figure in figures] == [5] * len(figures)
    widths = re.findall('<rect x="0%" width="([^"]*)%"', figures[0])
    assert float(widths[-1]) / float(widths[0]) == pytest.approx(4**1.05, rel=1e-3)


def test_what_grows_has_a_line_for_each_arm():
    page = sweep_to_html(sweeps.batches())
    figures = page.split('id="curves"')[1].split('id="sizes"')[0].split("<figure")[1:]
    assert [figure.count("<circle") for figure in figures] == [6, 6, 6]
    assert "Requests a second" in figures[1]
    for words in ("1 row", "4 rows", "6.25 ms"):
        assert words in figures[0].replace("\u00a0", " ")


def test_one_size_has_no_lines():
    """Of a sweep that was interrupted there may be one size: bars, and no part for the curves."""
    whole = sweeps.sweep(partial=True, stopped_by="interrupted")
    curves = tuple(replace(curve, points=curve.points[:1]) for curve in whole.curves)
    page = sweep_to_html(replace(whole, curves=curves))
    assert 'id="curves"' not in page
    assert 'id="sizes"' in page


def test_numbers_lead_to_their_definitions():
    read = Read(sweep_to_html(sweeps.batches()))
    linked = {link.removeprefix("#term-") for link in read.links if link.startswith("#term-")}
    assert {"growth", "largest", "predicted", "rate", "served", "prefill", "speedup"} <= linked
    assert {f"term-{name}" for name in linked} <= set(read.ids)


def test_hostile_text_stays_text():
    whole = sweeps.sweep()
    dense, arm = whole.curves
    request = replace(whole.request, model=EVIL, prompt=EVIL)
    evil = replace(whole, request=request, curves=(dense, replace(arm, label=EVIL)), command=EVIL)
    read = Read(sweep_to_html(evil))
    assert read.tags.count("script") == 1
    assert "img" not in read.tags
    assert EVIL in read.text
