"""The README's pictures: a report as a terminal shows it, and which tokens stay of each sample.

python -m benchmarks.picture
python -m benchmarks.picture --measure

The first draws the reports in ``benchmarks/results/`` anew, so that the pictures look as reports
look now; the second measures those reports again first. A test fails where a committed picture is
not what the first command draws.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from benchmarks.result import RESULTS
from v2drop_cli.commands.viz import find_media
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Report
from v2drop_cli.records.reading import read_report
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.kept_figure import kept_figure
from v2drop_cli.report.kept_pictures import data_uris, pictures_of
from v2drop_cli.report.kept_svg import kept_svg
from v2drop_cli.report.terminal import render

WIDTH = 100
MEASURED = RESULTS / "run.json"
ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "run.svg"
COMMAND = ("run", "--image", "sample_media/scene.png")
# Which tokens stay: by the picture's name, what is shown.
KEPT = {
    "scene": ("--image", "sample_media/scene.png"),
    "photo": ("--image", "sample_media/cat.jpg"),
    "clip": ("--video", "sample_media/clip.mp4"),
}
METHODS = ("--method", "v2drop", "--method", "random")


def picture(report: Report) -> str:
    """The SVG, with the viewer's own monospace font: nothing is fetched to show it."""
    console = Console(
        record=True,
        width=WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    console.print(Text(f"$ {' '.join(('v2drop', *COMMAND))}", "bold"))
    render(build_view(judged(report)), console)
    date = str(report.environment.get("date") or "")[:10]
    svg = console.export_svg(title=f"v2drop, measured {date}", theme=MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("<text ", '<text xml:space="preserve" ')


def kept_files(name: str) -> tuple[Path, Path]:
    """The report that a picture of kept tokens is drawn from, and the picture."""
    return RESULTS / f"kept-{name}.json", ROOT / "docs" / f"kept-{name}.svg"


def kept_picture(name: str) -> str:
    """The SVG, with the sample inside."""
    report = read_report(kept_files(name)[0])
    found = find_media(report.request.media, ROOT)
    return kept_svg(kept_figure(report, found.notes), data_uris(pictures_of(found.media)))


def measure() -> None:
    """Run the command that the picture shows, and keep its report; and one for each sample."""
    _run(*COMMAND, "--output", str(MEASURED))
    for name, shown in KEPT.items():
        _run("run", *shown, *METHODS, "--repeats", "1", "--output", str(kept_files(name)[0]))


def _run(*words: str) -> None:
    command = [sys.executable, "-m", "v2drop_cli", *words]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Draw the pictures, of new reports if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure the reports anew first")
    if parser.parse_args().measure:
        measure()
    PICTURE.write_text(picture(read_report(MEASURED)), encoding="utf-8", newline="\n")
    for name in KEPT:
        kept_files(name)[1].write_text(kept_picture(name), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
