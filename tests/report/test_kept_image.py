"""A terminal that shows images is sent the figure itself; one that does not, blocks.

The terminal is a pseudo one, which answers what `textual-image` asks it as a terminal would.
"""

from __future__ import annotations

import importlib.util
import os
import select
import struct
import subprocess
import sys
import time

import pytest

from tests.patience import PATIENCE_S
from tests.report.test_kept_figure import ALL, drop, made
from v2drop_cli.records import Grid, Span

WHAT_ARE_YOU = b"\x1b[c"
SIXELS, NO_SIXELS = b"\x1b[?62;4c", b"\x1b[?62c"
BLOCK = "\N{UPPER HALF BLOCK}".encode()


def answering(outer, is_what):
    """What the program sends until it is gone."""
    sent, answered = b"", 0
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if select.select([outer], [], [], 0.05)[0]:
            try:
                sent += os.read(outer, 65536)
            except OSError:  # the child has closed its end
                break
        if WHAT_ARE_YOU in sent[answered:]:
            answered = len(sent)
            os.write(outer, is_what)
    return sent


def shown(command, is_what, pixels=(480, 480)):
    """All that a terminal of 60 x 30 cells is sent that answers so."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    outer, inner = pty.openpty()
    size = struct.pack("HHHH", 30, 60, *pixels)
    fcntl.ioctl(inner, termios.TIOCSWINSZ, size)
    env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "60"}
    with subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, env=env) as child:
        os.close(inner)
        try:
            sent = answering(outer, is_what)
            assert child.wait(PATIENCE_S) == 0, sent
        finally:
            child.kill()
            os.close(outer)
    return sent


@pytest.mark.parametrize("can", [True, False])
def test_a_terminal_that_shows_images_is_sent_one(tmp_path, can):
    if importlib.util.find_spec("textual_image") is None:  # importing it would ask our own terminal
        pytest.skip("textual-image is not installed (the images extra)")
    path = tmp_path / "report.json"
    span = Span(0, Grid(1, 1, 2), ((0, 2),), ALL)
    path.write_text(made(span, drops=(drop(1, 2, 1),)).dumps(), encoding="utf-8")
    command = [sys.executable, "-m", "v2drop_cli", "viz", str(path), "--output", str(tmp_path)]
    sent = shown(command, SIXELS if can else NO_SIXELS)
    assert (b"\x1bP" in sent) == can  # a Sixel begins
    assert (BLOCK in sent) == (not can)
    assert b"Wrote" in sent
