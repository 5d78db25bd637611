"""The screenshots of docs/html.md: pages of `--export-html` as Chromium shows them.

python -m benchmarks.pages
python -m benchmarks.pages eval

It runs the commands, opens their pages, and writes `docs/html-*.png`; with names, only those. It
needs playwright (the `test` extra) and Chromium (docs/testing.md). Letters look as the fonts of the
machine do, so that no test holds a committed screenshot against a new one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
CHROMIUM = "/usr/bin/chromium"
_BOTH = ("--method", "v2drop", "--method", "random")
RUN = ("run", "--image", "sample_media/scene.png", "--budget", "33%", *_BOTH)
EVAL = ("eval", "shapes", "--limit", "64", "--budget", "33%", "--budget", "11%", *_BOTH)


@dataclass(frozen=True, slots=True)
class Shot:
    """One screenshot.

    Attributes:
        command: what makes the page.
        width: of the window, in pixels.
        scheme: of the reader's system, ``light`` or ``dark``.
        start: what it begins with, a CSS selector.
        end: what it ends before; ``None`` for a phone's height.
        slide: of the kept tokens, the one to show; ``None`` for the last, as the page opens.
    """

    command: Sequence[str]
    width: int
    scheme: str
    start: str
    end: str | None
    slide: str | None = None


SHOTS = {
    "light": Shot(RUN, 1000, "light", "body", "#speed-up"),
    "dark": Shot(RUN, 390, "dark", "#kept", None, slide="1"),
    "eval": Shot((*EVAL, "--batch-size", "8"), 1000, "light", "body", ".parted:nth-of-type(3)"),
}
PHONE = 844


def picture(name: str) -> Path:
    """Where a screenshot is kept."""
    return ROOT / "docs" / f"html-{name}.png"


def page_of(command: Sequence[str], path: Path) -> None:
    """Let v2drop write the page of ``command`` to ``path``."""
    line = [sys.executable, "-m", "v2drop_cli", *command, "--export-html", path.name]
    subprocess.run(line, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    shutil.move(ROOT / path.name, path)


def taken(browser: Browser, page_path: Path, shot: Shot) -> bytes:
    """The screenshot, as PNG."""
    size = {"width": shot.width, "height": PHONE}
    context = browser.new_context(viewport=size, color_scheme=shot.scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(page_path.as_uri())
    if shot.slide is not None:
        page.locator("#kept input").fill(shot.slide)
    top = page.locator(shot.start).evaluate("(each) => each.getBoundingClientRect().top")
    bottom = top + PHONE
    if shot.end is not None:
        bottom = page.locator(shot.end).evaluate("(each) => each.getBoundingClientRect().top")
    clip = {"x": 0, "y": top, "width": shot.width, "height": bottom - top}
    found = page.screenshot(clip=clip, full_page=True)  # type: ignore[arg-type]
    context.close()
    return found


def main() -> None:
    """Write the screenshots that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHOTS))
    names = parser.parse_args().names or list(SHOTS)
    unknown = sorted(set(names) - set(SHOTS))
    if unknown:
        parser.error(f"no screenshot is called {unknown[0]}: there are {', '.join(SHOTS)}")
    from playwright.sync_api import sync_playwright

    pages: dict[tuple[str, ...], Path] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in names:
            command = tuple(SHOTS[name].command)
            if command not in pages:
                pages[command] = Path(folder) / f"page-{len(pages)}.html"
                page_of(command, pages[command])
            picture(name).write_bytes(taken(browser, pages[command], SHOTS[name]))
        browser.close()


if __name__ == "__main__":
    main()
