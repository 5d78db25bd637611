"""The pages in headless Chromium, as a person opens them: from the disk, without a network.

Chromium is the system's (`apt-get install chromium`), playwright drives it. Where either is
missing these tests are skipped, with the reason; never where ``CI`` is set.
"""

from __future__ import annotations

import io
import json
import os
import shutil

import pytest
from PIL import Image

from benchmarks.pages import PHONE, SHOTS, taken
from tests.report import factory, sweeps
from tests.report.eval_factory import evaluated, rows
from tests.report.html.test_kept_panel import pictures, placed
from tests.report.html.test_pages import EVIL, evil_report
from tests.report.regenerate import changes
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.report.html.bench_page import to_html
from v2drop_cli.report.html.compare_page import changes_to_html
from v2drop_cli.report.html.eval_page import Parted, eval_to_html
from v2drop_cli.report.html.parted_rows import parted_rows
from v2drop_cli.report.html.sweep_page import sweep_to_html

WIDTHS, SCHEMES = (390, 768, 1440), ("light", "dark")
NAMES = ("chromium", "chromium-browser", "google-chrome")


def missing(what):
    """No browser: a reason that is seen, and in CI a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must not skip the pages")
    pytest.skip(f"{what} is missing: the pages were not opened; docs/testing.md says how to get it")


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        missing("Chromium")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages on the disk, by name."""
    report = judged(factory.profiled())
    texts = {
        "profile": to_html(report),
        "kept": to_html(judged(placed()), pictures()),
        "twelve": to_html(judged(factory.twelve_arms())),
        "evil": to_html(judged(evil_report())),
        "compare": changes_to_html(changes(), (report, report), "v2drop compare a.json b.json"),
    }
    texts["sweep"] = sweep_to_html(sweeps.sweep())
    found = evaluated(fidelity=True)
    texts["eval"] = eval_to_html(found, Parted(parted_rows(found, rows())))
    folder = tmp_path_factory.mktemp("pages")
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture
def opened(browser, pages):
    """Open a page by name; what the browser complains of, asks for or pops up is collected."""
    contexts, said = [], []

    def call(name, width=1440, scheme="light"):
        viewport = {"width": width, "height": 900}
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (said.append("dialog"), dialog.dismiss()))
        page.on("request", lambda request: asked(request.url))
        page.goto(pages[name].as_uri())
        return page

    def asked(address):
        if not address.startswith(("file:", "data:")):
            said.append(f"request: {address}")

    yield call
    for context in contexts:
        context.close()
    assert said == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_open_without_a_complaint_and_never_scroll_sideways(opened, width, scheme):
    for name in ("profile", "twelve", "compare", "sweep", "eval"):
        page = opened(name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").inner_text()
        assert page.locator("svg").first.is_visible()
        paper, ink = (
            page.evaluate(f"getComputedStyle(document.body).{name}")
            for name in ("backgroundColor", "color")
        )
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        assert paper != ink


def test_hostile_text_stays_text(opened):
    page = opened("evil", 390)
    assert page.title().startswith("v2drop: <script>")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.locator(".answer").first.inner_text() == f"{EVIL}0"
    assert page.evaluate("[...document.links].every((a) => a.protocol !== 'javascript:')")


def test_a_policy_that_lets_nothing_in(opened, browser, pages, tmp_path):
    """The same file with a script and a style put into it runs neither."""
    text = pages["profile"].read_text(encoding="utf-8")
    more = (
        "<script>document.title = 'owned'</script><style>h1 { color: #010203 !important }</style>"
    )
    bad = tmp_path / "bad.html"
    bad.write_text(text.replace("<main>", f"<main>{more}"), encoding="utf-8")
    page = browser.new_page()
    page.goto(bad.as_uri())
    assert page.title() == "v2drop: llava-1.5-7b"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(1, 2, 3)"
    page.close()


def test_a_table_sorts_both_ways_and_what_has_no_number_comes_last(opened):
    page = opened("twelve")
    table = page.locator("#glance table")
    column = table.locator("thead th").nth(1)
    values = "rows => rows.map((row) => row.cells[1].dataset.value ?? null)"
    for way, wanted in (("ascending", False), ("descending", True)):
        column.locator("button").click()
        assert column.get_attribute("aria-sort") == way
        found = table.locator("tbody tr").evaluate_all(values)
        known = [float(value) for value in found if value is not None]
        assert found[len(known) :] == [None] * (len(found) - len(known))
        assert known == sorted(known, reverse=wanted)
        assert len(set(known)) > 5


def test_the_slider_moves_over_the_drops(opened):
    page = opened("kept", 390)
    slider, slides = page.locator("#kept input"), page.locator("#kept [data-slide]")
    assert slides.count() == 4
    for number in (3, 0, 2):
        slider.fill(str(number))
        assert [slides.nth(at).is_visible() for at in range(4)] == [at == number for at in range(4)]
        assert (
            page.locator("#kept output").inner_text()
            == slides.nth(number).locator("figcaption").inner_text()
        )
    slider.press("ArrowLeft")
    assert slides.nth(1).is_visible()
    page.emulate_media(media="print")
    assert all(slides.nth(at).is_visible() for at in range(4))


def test_the_picture_lies_under_the_tokens_that_stay(opened):
    """Its green in a cell that stays, and not in one that went, as the screen shows it."""
    page = opened("kept")
    page.locator("#kept input").fill("1")
    drawing = page.locator("#kept [data-slide='1'] .grids svg")
    box = drawing.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(640 / 480, rel=0.02)
    shot = Image.open(io.BytesIO(drawing.screenshot())).convert("RGB")
    red, green, blue = shot.getpixel((shot.width // 2, shot.height // 4))
    assert green > 150 > max(red, blue)
    assert max(shot.getpixel((shot.width // 2, shot.height * 3 // 4))) < 90


def test_the_document_is_saved(opened, tmp_path):
    page = opened("profile")
    with page.expect_download() as waiting:
        page.locator(".download a").click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.name == "report.json"
    assert json.loads(target.read_text(encoding="utf-8"))["schema"] == "v2drop.report/1"


def test_a_number_leads_to_its_definition(opened):
    page = opened("profile", 390)
    assert not page.locator("#term-prefill").is_visible()
    page.locator('#stages a[href="#term-prefill"]').first.click()
    assert page.locator("#term-prefill + dd").is_visible()
    assert page.url.endswith("#term-prefill")


def test_a_folded_part_opens_by_a_click_and_by_the_contents(opened):
    page = opened("eval", 390)
    for name in ("groups", "numbers"):
        assert not page.locator(f"#{name} table").first.is_visible()
    page.locator("summary", has_text="Score by group").click()
    assert page.locator("#groups table").is_visible()
    page.locator('nav a[href="#numbers"]').click()
    assert page.locator("#numbers table").first.is_visible()


def test_a_page_on_a_phone_is_short_until_it_is_opened(opened):
    page = opened("profile", 390)
    height = "document.documentElement.scrollHeight"
    folded = page.evaluate(height)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate(height) > 2 * folded


def test_printed_it_is_light_and_whole(opened):
    page = opened("profile", 768, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.locator("#terms dd").last.is_visible()


@pytest.mark.parametrize(("name", "page"), [("light", "profile"), ("dark", "kept"), ("eval",) * 2])
def test_the_screenshots_of_the_docs_can_be_taken(browser, pages, name, page):
    """Each begins and ends where it says, whatever is on the page."""
    found = Image.open(io.BytesIO(taken(browser, pages[page], SHOTS[name])))
    assert found.width == SHOTS[name].width
    assert (found.height == PHONE) == (SHOTS[name].end is None)
    paper = found.convert("RGB").getpixel((0, found.height // 2))
    assert (min(paper) > 200) == (SHOTS[name].scheme == "light")
