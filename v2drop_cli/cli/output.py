"""What several commands print and write alike: documents, reports, files, and what gates said."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from v2drop_cli.cli.called import called
from v2drop_cli.cli.followers import follows
from v2drop_cli.cli.talk import say
from v2drop_cli.errors import GateError, UndecidedError, UsageError, V2DropError

if TYPE_CHECKING:
    from v2drop_cli.bench.watch import Progress, Watch
    from v2drop_cli.media import Media
    from v2drop_cli.records import ArmResult, Report
    from v2drop_cli.records.changes import GateResult
    from v2drop_cli.report.result_file import ResultFile
    from v2drop_cli.report.view import View


LONGEST_TOLD = 80
"""Letters of an answer on stderr; the report has all of them."""


class Document(Protocol):
    """What a command found, as JSON."""

    def dumps(self) -> str:
        """The document as text."""
        ...


def warn(text: str) -> None:
    """Say on stderr what a person should read at once."""
    tell(f"warning: {text}")


def summed_up(report: Report) -> Report:
    """``report`` with its finding in words and the command line that made it."""
    from v2drop_cli.report.finding import summarised

    return summarised(report, called())


class Drafts:
    """Writes the report so far, again and again.

    A disk that is full now must not cost the rounds to come, so it is said once and no more. The
    final report is written too, and that raises.
    """

    def __init__(self, file: ResultFile) -> None:
        self._file, self._told = file, False

    def __call__(self, report: Report) -> None:
        """Replace the file."""
        self.put(summed_up(report))

    def put(self, document: Document) -> None:
        """Replace the file by what is summed up already."""
        try:
            self._file.write(document.dumps())
        except V2DropError as error:
            if not self._told:
                warn(f"{error.message}; measuring goes on")
            self._told = True


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where a document goes beside stdout; each file is known to be writable."""

    json: ResultFile | None
    markdown: ResultFile | None
    csv: ResultFile | None
    html: ResultFile | None = None
    schedule: ResultFile | None = None
    exported: ResultFile | None = None

    @classmethod
    def checked(cls, paths: Sequence[Path | None], read: Sequence[Path]) -> ResultFiles:
        """Refuse paths that cannot be written, before anything is measured.

        Args:
            paths: of JSON, Markdown, CSV, HTML, and a schedule, twice.
            read: files that the command reads: they are never written over.

        Raises:
            UsageError: one cannot be written, or is named twice.
        """
        from v2drop_cli.report.result_file import ResultFile

        taken = {path.resolve() for path in read}
        for path in paths:
            if path is not None and path.resolve() in taken:
                raise UsageError(f"{path} is read, or written to, twice", hint="name another file")
            taken |= {path.resolve()} if path is not None else set()
        return cls(*(None if path is None else ResultFile(path) for path in paths))

    @contextmanager
    def held(self) -> Iterator[ResultFiles]:
        """These files, with nobody else writing them for the duration.

        Raises:
            OutputPathError: another v2drop writes one of them.
        """
        from v2drop_cli.report.file_lock import only_writer

        with ExitStack() as stack:
            for file in (getattr(self, each.name) for each in fields(self)):
                if file is not None:
                    stack.enter_context(only_writer(file.path))
            yield self

    @property
    def on_round(self) -> Callable[[Report], None] | None:
        """What to do with the report so far, if anything; see :class:`Drafts`."""
        return None if self.json is None else Drafts(self.json)

    def finish(self, report: Report, media: Sequence[Media] = ()) -> None:
        """Write the final report in every form asked for; ``media`` are shown on the page."""
        from v2drop_cli.report.bench_view import build_view
        from v2drop_cli.report.csv import to_csv
        from v2drop_cli.report.markdown import to_markdown

        report = summed_up(report)
        if self.json is not None:
            write(self.json, report.dumps())
        if self.markdown is not None:
            write(self.markdown, to_markdown(build_view(report)))
        if self.csv is not None:
            write(self.csv, to_csv(report))
        if self.html is not None:
            from v2drop_cli.report.html.bench_page import to_html
            from v2drop_cli.report.kept_pictures import data_uris, pictures_of

            write(self.html, to_html(report, data_uris(pictures_of(media))))


def write(file: ResultFile, content: str | bytes) -> None:
    """Write a result, and say so on stderr."""
    file.write(content)
    tell(f"Wrote {file.path}")


def tell(line: str) -> None:
    """One line on stderr, unless this process follows another one."""
    if not follows():
        say(line)


def watching(on_progress: Callable[[Progress], None], files: ResultFiles, weights: str) -> Watch:
    """Who watches ``run`` and ``profile``; answers of dummy weights mean nothing and go untold."""
    from v2drop_cli.bench.watch import Watch
    from v2drop_cli.cli.interrupts import check
    from v2drop_cli.records.report import DUMMY

    watch = Watch(on_progress, files.on_round, check, warn)
    return watch if weights == DUMMY else replace(watch, on_answer=AnswersTold())


class AnswersTold:
    """Tells on stderr what an arm answers, before the report; a second dense arm goes untold."""

    def __init__(self) -> None:
        self._labels: set[str] = set()

    def __call__(self, arm: ArmResult) -> None:
        """One line, unless an arm of that name has answered."""
        if arm.label not in self._labels:
            self._labels.add(arm.label)
            tell(_told(arm))


def _told(arm: ArmResult) -> str:
    from v2drop_cli.report.wording import EMPTY

    text = " ".join(arm.answer.text.split())
    if len(text) > LONGEST_TOLD:
        text = f"{text[: LONGEST_TOLD - 1]}…"
    return f'{arm.label} answers "{text}"' if text else f"{arm.label} answers {EMPTY}"


def print_json(document: str) -> None:
    """One JSON document on stdout, whatever its encoding."""
    from v2drop_cli.report.text import encodable_json

    sys.stdout.write(encodable_json(document, sys.stdout.encoding) + "\n")


def show(report: Report, as_json: bool) -> None:
    """The report on stdout."""
    if as_json:
        print_json(summed_up(report).dumps())
        return
    from rich.console import Console

    from v2drop_cli.report.bench_view import build_view
    from v2drop_cli.report.terminal import render

    render(build_view(report), Console())


def hand_over(document: Document, view: View, files: ResultFiles, as_json: bool) -> None:
    """What was found on stdout first, whatever becomes of the files; then as JSON and Markdown."""
    from rich.console import Console

    from v2drop_cli.report.markdown import to_markdown
    from v2drop_cli.report.terminal import render

    if as_json:
        print_json(document.dumps())
    else:
        render(view, Console())
    if files.json is not None:
        write(files.json, document.dumps())
    if files.markdown is not None:
        write(files.markdown, to_markdown(view))


def settle(gates: Iterable[GateResult], strict: bool) -> None:
    """Leave with 3 if a gate failed, with 5 if one is about what was not measured.

    What is undecided is said, and leaves with 5 if ``strict``.

    Raises:
        GateError: a gate failed.
        UndecidedError: none failed, and one is unmeasured; or undecided, which is not enough.
    """
    from v2drop_cli.records.changes import FAILED, UNDECIDED, UNMEASURED

    said: dict[str, list[str]] = {FAILED: [], UNMEASURED: [], UNDECIDED: []}
    for gate in gates:
        if gate.outcome in said:
            said[gate.outcome].append(f"{gate.text}: {gate.message}")
    failed, missing, undecided = said.values()
    if failed or missing or not strict:
        for line in undecided:
            tell(f"undecided: {line}")
    if failed:
        for line in missing:
            tell(f"unmeasured: {line}")
        raise GateError(f"{len(failed)} gate(s) failed: {'; '.join(failed)}")
    if missing:
        raise UndecidedError(
            f"{len(missing)} gate(s) unmeasured: {'; '.join(missing)}",
            hint="gate on what these reports measured, or measure what the gate is about",
        )
    if strict and undecided:
        raise UndecidedError(
            f"{len(undecided)} gate(s) undecided: {'; '.join(undecided)}",
            hint="measure more rounds on a quieter machine, or move the limit out of the noise",
        )
