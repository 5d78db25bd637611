"""What goes to stdout, and which files are written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli.signature import OUTPUT, Looks, argument, option

if TYPE_CHECKING:
    from v2drop_cli.cli.kept_files import KeptFiles
    from v2drop_cli.cli.output import ResultFiles


@dataclass(frozen=True, slots=True)
class CommonOutput:
    """Of every command."""

    json: bool = option(False, Looks("--json", "One JSON document on stdout.", OUTPUT))
    export_md: Path | None = option(
        None, Looks("--export-md", "Write what is said as Markdown too.", OUTPUT, "FILE")
    )

    def files(self, read: Sequence[Path] = ()) -> ResultFiles:
        """The files to write, each known to be writable; ``read`` are never written over.

        Raises:
            UsageError: one cannot be written, or is named twice.
        """
        from v2drop_cli.cli.output import ResultFiles

        return ResultFiles.checked((None, self.export_md, None), read)


@dataclass(frozen=True, slots=True)
class RunOutput(CommonOutput):
    """Of what measures or compares."""

    output: Path | None = option(
        None, Looks("--output", "Write the JSON document to a file too.", OUTPUT, "FILE")
    )
    export_html: Path | None = option(
        None, Looks("--export-html", "Write a page to look at and to share.", OUTPUT, "FILE")
    )

    def files(self, read: Sequence[Path] = ()) -> ResultFiles:
        """As for every command."""
        from v2drop_cli.cli.output import ResultFiles

        return ResultFiles.checked((self.output, self.export_md, None, self.export_html), read)


@dataclass(frozen=True, slots=True)
class PicturedOutput(RunOutput):
    """Of ``run``, with pictures beside it."""

    pictures: Path | None = option(
        None,
        Looks("--pictures", "Draw which tokens stay into a folder, as viz does.", OUTPUT, "DIR"),
    )

    def kept_files(self, media: Sequence[Path]) -> KeptFiles | None:
        """The pictures' files, if they are asked for, known to be writable.

        Raises:
            UsageError: one cannot be written.
        """
        from v2drop_cli.cli.kept_files import KeptFiles, kept_name

        if self.pictures is None:
            return None
        return KeptFiles.checked(self.pictures, kept_name(media), media)


@dataclass(frozen=True, slots=True)
class CompareOutput(RunOutput):
    """Of ``compare``."""

    quiet: bool = option(
        False, Looks("--quiet", "Only the finding, what changed, and what warns.", OUTPUT)
    )


@dataclass(frozen=True, slots=True)
class ProfileOutput(RunOutput):
    """Of ``profile``."""

    export_csv: Path | None = option(
        None, Looks("--export-csv", "Write every raw sample.", OUTPUT, "FILE")
    )

    def files(self, read: Sequence[Path] = ()) -> ResultFiles:
        """As for every command."""
        from v2drop_cli.cli.output import ResultFiles

        paths = (self.output, self.export_md, self.export_csv, self.export_html)
        return ResultFiles.checked(paths, read)


@dataclass(frozen=True, slots=True)
class VizOutput:
    """Of ``viz``: what is drawn, and where to."""

    report: Path | None = argument(
        "REPORT.json", "A saved report; without one, a prompt is run once.", default=None
    )
    output: Path | None = option(
        None,
        Looks(
            "--output",
            "A .png or .svg file, or a folder for both [default: this folder].",
            OUTPUT,
            "PATH",
        ),
    )

    scores: bool = option(
        False,
        Looks("--scores", "Of a prompt: over a heat map of what the method thought.", OUTPUT),
    )

    @property
    def folder(self) -> Path:
        """Where to, or here."""
        return self.output or Path()


@dataclass(frozen=True, slots=True)
class ComparedReports:
    """The two files that ``compare`` reads."""

    a: Path = argument("A.json", "The report to compare with.")
    b: Path = argument("B.json", "The report to judge.")
