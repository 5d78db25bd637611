"""What is going on, on stderr: a line that changes on a terminal, one line per phase elsewhere.

Nothing is drawn by a thread: a line changes only when a measurement says that it is between
two timed regions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress
from v2drop_cli.cli.followers import follows
from v2drop_cli.cli.talk import say

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

Tell = Callable[[Progress], None]


@contextmanager
def telling(aloud: bool = True) -> Iterator[Tell]:
    """Tell progress on stderr for the duration; not if not ``aloud``, or if it follows."""
    if not aloud or follows():
        yield lambda progress: None
        return
    if sys.stderr is None or not sys.stderr.isatty():
        yield _Lines().tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20))
    console = Console(stderr=True)
    with RichProgress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        yield _Drawn(bar).tell


class _Lines:
    """For a file or a pipe: one line when a phase begins."""

    def __init__(self) -> None:
        self._phase: Phase | None = None

    def tell(self, progress: Progress) -> None:
        """Say so if this phase is new."""
        if progress.phase != self._phase:
            self._phase = progress.phase
            say(headline(progress))


class _Drawn:
    """For a terminal: a line with a bar."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._of: tuple[Phase, int | None] | None = None

    def tell(self, progress: Progress) -> None:
        """Draw the line anew."""
        of = known_end(progress)
        if self._task is None or (progress.phase, of) != self._of:
            # Rich keeps a total that is updated to None, so each total has a task of its own.
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("", total=of)
            self._of = (progress.phase, of)
        completed = progress.done + progress.part
        self._bar.update(self._task, description=sentence(progress), completed=completed)
        self._bar.refresh()


def known_end(progress: Progress) -> int | None:
    """How much there is to do; ``None`` where that is not known, or no longer holds.

    >>> known_end(Progress(Phase.ROUNDS, 3, 10, at_least=True))
    10
    >>> known_end(Progress(Phase.ROUNDS, 10, 10, at_least=True)) is None
    True
    """
    if progress.of is None or (progress.at_least and progress.done >= progress.of):
        return None
    return progress.of


def headline(progress: Progress) -> str:
    """What a phase is about, when it begins.

    >>> headline(Progress(Phase.ROUNDS, 0, 10, at_least=True, left_s=60.0))
    'rounds: at least 10, at most 60 s left'
    >>> headline(Progress(Phase.LOADING, what="tiny")), headline(Progress(Phase.ANSWERS, 0, 4))
    ('loading tiny', 'answers: 4')
    """
    if progress.of is None:
        return f"{progress.phase} {progress.what}".rstrip()
    least = "at least " if progress.at_least else ""
    return f"{progress.phase}: {least}{progress.of}{_left(progress)}"


def sentence(progress: Progress) -> str:
    """How far a phase is.

    >>> sentence(Progress(Phase.WARM_UP, 0, 2))
    'warm-up 0 of 2'
    >>> sentence(Progress(Phase.ROUNDS, 4, 10, at_least=True, left_s=41.3))
    'rounds 4 of at least 10, at most 41 s left'
    >>> sentence(Progress(Phase.ROUNDS, 54, 10, at_least=True, left_s=0.0))
    'rounds 54, at most 0 s left'
    >>> sentence(Progress(Phase.ROUNDS, 3, 5, left_s=7.2))
    'rounds 3 of 5, about 7 s left'
    """
    if progress.of is None:
        return headline(progress)
    end = known_end(progress)
    of = "" if end is None else f" of {'at least ' if progress.at_least else ''}{end}"
    what = f": {progress.what}" if progress.what else ""
    return f"{progress.phase} {progress.done}{of}{_left(progress)}{what}"


def _left(progress: Progress) -> str:
    if progress.left_s is None:
        return ""
    return f", {'at most' if progress.at_least else 'about'} {progress.left_s:.0f} s left"
