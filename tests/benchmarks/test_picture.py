"""The README's picture shows what reports look like now, with numbers that were measured."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.picture import (
    COMMAND,
    KEPT,
    MEASURED,
    PICTURE,
    kept_files,
    kept_picture,
    picture,
)
from v2drop_cli.records.reading import read_report

ROOT = Path(__file__).parents[2]


def texts(svg: str) -> list[str]:
    """What a reader sees, piece by piece: the frame around it is the library's own."""
    return [html.unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", svg)]


def test_the_picture_is_what_the_measured_report_looks_like_now():
    drawn = texts(picture(read_report(MEASURED)))
    assert texts(PICTURE.read_text("utf-8")) == drawn, "python -m benchmarks.picture"


def test_another_number_is_another_picture():
    report = read_report(MEASURED)
    timing = replace(report.arms[0].timing, prefill_s=None)
    other = replace(report, arms=(replace(report.arms[0], timing=timing), *report.arms[1:]))
    assert texts(picture(other)) != texts(picture(report))


def test_the_picture_says_the_command_its_date_and_the_finding():
    report = read_report(MEASURED)
    said = " ".join(texts(PICTURE.read_text("utf-8"))).replace("\N{NO-BREAK SPACE}", " ")
    assert " ".join(("v2drop", *COMMAND)) in said
    assert report.environment["date"][:10] in said
    assert "v2drop is " in said or "v2drop shows " in said


def test_the_picture_shows_the_readmes_first_command():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert " ".join(("v2drop", *COMMAND)) in readme
    assert f"]({PICTURE.relative_to(ROOT)})" in readme


def test_nothing_is_fetched_to_show_it():
    svg = PICTURE.read_text("utf-8")
    assert "@font-face" not in svg
    assert not re.search(r"(?:src|href)\s*=|url\((?!#)", svg)


def without_pixels(svg: str) -> str:
    """Releases of Pillow pack the same picture in other bytes."""
    return re.sub(r'href="data:image/[^"]*"', 'href=""', svg)


@pytest.mark.parametrize("name", KEPT)
def test_pictures_of_kept_tokens_are_what_the_measured_reports_look_like_now(name):
    svg = kept_files(name)[1].read_text("utf-8")
    assert without_pixels(svg) == without_pixels(kept_picture(name)), "python -m benchmarks.picture"
    assert svg.count("data:image/") == {"clip": 8}.get(name, 1)
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert len(svg) < 120_000
