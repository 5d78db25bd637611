"""The README's picture: a report that was measured, drawn as a terminal shows it.

python -m benchmarks.picture
python -m benchmarks.picture --measure

The first draws the report in ``benchmarks/results/run.json`` anew, so that the picture looks as
reports look now; the second measures that report again first. A test fails where the committed
picture is not what the first command draws.
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
from v2drop_cli.judge.arm_verdicts import judged
from v2drop_cli.records import Report
from v2drop_cli.records.reading import read_report
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.report.terminal import render

WIDTH = 100
MEASURED = RESULTS / "run.json"
PICTURE = Path(__file__).parents[1] / "docs" / "run.svg"
COMMAND = ("run", "--image", "sample_media/scene.png")


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


def measure() -> None:
    """Run the command that the picture shows, and keep its report."""
    subprocess.run(
        [sys.executable, "-m", "v2drop_cli", *COMMAND, "--output", str(MEASURED)],
        cwd=PICTURE.parents[1],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def main() -> None:
    """Draw the picture, of a new report if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure the report anew first")
    if parser.parse_args().measure:
        measure()
    PICTURE.write_text(picture(read_report(MEASURED)), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
