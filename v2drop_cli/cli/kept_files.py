"""Figures of kept tokens on disk: which files, known to be writable before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli.output import warn, write
from v2drop_cli.errors import OutputPathError, UsageError, reason_of

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.records import Report
    from v2drop_cli.report.kept_figure import KeptFigure
    from v2drop_cli.report.kept_pictures import Images
    from v2drop_cli.report.result_file import ResultFile

SVG, PNG = ".svg", ".png"


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The files that one figure goes into."""

    files: tuple[ResultFile, ...]

    @classmethod
    def checked(cls, output: Path, name: str, read: Sequence[Path] = ()) -> KeptFiles:
        """``output`` itself if it ends as one of the forms, else a file of each form in it.

        Args:
            output: a file, or a folder, which is made if it is not there.
            name: what the files in a folder are called, without the ending.
            read: files that the command reads: they are never written over.

        Raises:
            OutputPathError: one cannot be written.
        """
        from v2drop_cli.report.result_file import ResultFile

        if output.suffix and not _is_folder(output):
            if output.suffix.lower() not in (SVG, PNG):
                message = f"no such folder, and no {SVG} or {PNG}: {str(output)!r}"
                raise OutputPathError(message, hint=f"name a folder, or a file of {SVG} or {PNG}")
            paths = [output]
        else:
            _make(output)
            paths = [output / f"{name}{ending}" for ending in (SVG, PNG)]
        for path in paths:
            if path.resolve() in {one.resolve() for one in read}:
                raise OutputPathError(f"{path} is read, too", hint="name another file")
        return cls(tuple(map(ResultFile, paths)))

    def draw(self, report: Report, media: Sequence[Media]) -> None:
        """The figure of a report whose media are at hand; or say what it lacks."""
        from v2drop_cli.report.kept_figure import kept_figure
        from v2drop_cli.report.kept_pictures import pictures_of

        try:
            figure = kept_figure(report)
        except UsageError as error:
            warn(f"no pictures: {error.message}")
            return
        self.write(figure, pictures_of(media))

    def write(self, figure: KeptFigure, pictures: Images) -> None:
        """Draw the figure into each of them, and say so."""
        from v2drop_cli.report.kept_pictures import data_uris
        from v2drop_cli.report.kept_png import kept_png
        from v2drop_cli.report.kept_svg import kept_svg

        for file in self.files:
            if file.path.suffix.lower() == SVG:
                write(file, kept_svg(figure, data_uris(pictures)))
            else:
                write(file, kept_png(figure, pictures))


def kept_name(media: Sequence[Path]) -> str:
    """What files of a prompt are called: after the first of its media."""
    return f"{media[0].stem if media else 'made-up'}-kept"


def _is_folder(path: Path) -> bool:
    """Whether it is one; a name that no file can have is none, and is refused where it is made."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot make the folder {str(folder)!r}: {reason_of(error)}"
        raise OutputPathError(message, hint="name another folder") from error
