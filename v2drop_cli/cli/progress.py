"""What is going on, on stderr: a line that changes on a terminal, one line elsewhere.

Nothing is drawn by a thread: a line changes only when a measurement says that it is between
two timed regions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.progress import TaskID


class Teller(Protocol):
    """Tells how far the work is."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """Say what is going on, and how far."""


@contextmanager
def telling() -> Iterator[Teller]:
    """A progress line on stderr for the duration; silent where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda what, done=0, total=0: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, auto_refresh=False
    ) as progress:
        task: TaskID = progress.add_task("", total=None)

        def tell(what: str, done: int = 0, total: int = 0) -> None:
            progress.update(task, description=what, completed=done, total=total or None)
            progress.refresh()

        yield tell


def announced(tell: Teller, line: str) -> Teller:
    """``tell``; where there is no terminal to follow it on, ``line`` comes first, once."""
    said = sys.stderr.isatty()

    def first(what: str, done: int = 0, total: int = 0) -> None:
        nonlocal said
        if not said:
            typer.echo(line, err=True)
            said = True
        tell(what, done, total)

    return first
