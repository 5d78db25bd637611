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
    figures = page.split("<figure")[1:]
    assert [figure.count("<rect") for figure in figures] == [5] * len(figures)
    widths = re.findall('<rect x="0%" width="([^"]*)%"', figures[0])
    assert float(widths[-1]) / float(widths[0]) == pytest.approx(4**1.05, rel=1e-3)


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
