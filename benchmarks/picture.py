"""The README's picture: what a real run shows on a terminal, saved as SVG.

python -m benchmarks.picture docs/run.svg -- run --image sample_media/scene.png
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 100


def terminal_output(arguments: list[str]) -> str:
    """Run ``v2drop`` on a pseudo-terminal and return what it wrote, colours included."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "v2drop_cli", *arguments],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    chunks: list[bytes] = []
    while True:
        try:
            chunks.append(os.read(ours, 65536))
        except OSError:  # the other end is closed: the command has left
            break
    output = b"".join(chunks).decode()
    if process.wait():
        raise SystemExit(f"v2drop failed: {output}")
    return output


def visible(output: str) -> Text:
    """The text that stays: progress lines erase themselves, and are left out."""
    last_erase = max(output.rfind("\x1b[2K"), output.rfind("\x1b[?25h"))
    rest = output[last_erase:] if last_erase >= 0 else output
    rest = re.sub(r"^\x1b\[(2K|\?25h)", "", rest).replace("\r\n", "\n").replace("\r", "")
    return Text.from_ansi(rest.strip("\n"))


def picture(command: str, shown: Text) -> str:
    """The SVG, with the viewer's own monospace font: nothing is fetched to show it."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", "bold"))
    console.print(shown)
    svg = console.export_svg(title="v2drop", theme=MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("<text ", '<text xml:space="preserve" ')


def main() -> None:
    """Write the picture named first for the arguments after ``--``."""
    target, _, *arguments = sys.argv[1:]
    shown = visible(terminal_output(arguments))
    svg = picture(" ".join(["v2drop", *arguments]), shown)
    Path(target).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
