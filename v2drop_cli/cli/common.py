"""What several commands do alike: open media, load, show a report, settle gates."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from v2drop_cli.errors import (
    GateError,
    MediaArgumentError,
    UndecidedError,
    UsageError,
    V2DropError,
)

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.records import Report
    from v2drop_cli.records.changes import GateResult
    from v2drop_cli.report.result_file import ResultFile

DEFAULT_FRAMES = 8


def media_kind(image: list[Path] | None, video: Path | None) -> str:
    """What was given; both or neither is an error. Paths are checked before any work."""
    from v2drop_cli.media import check_media_path

    if image and video:
        raise MediaArgumentError("--image and --video together", hint="give one or the other")
    if not image and not video:
        raise MediaArgumentError(
            "nothing to look at",
            hint="give --image FILE or --video FILE (see sample_media/), or --weights dummy",
        )
    for path in image or ([video] if video else []):
        check_media_path(path)
    return "image" if image else "video"


def open_media(image: list[Path] | None, video: Path | None, frames: int) -> list[Media]:
    """Decode what was given."""
    from v2drop_cli.media import load_image, load_video

    if video is not None:
        return [load_video(video, frames)]
    return [load_image(path) for path in image or ()]


def load_quietly(model: str, load_options: LoadOptions) -> LoadedModel:
    """Load, and keep the libraries quiet afterwards.

    What they warn of while a model is loaded and answers comes with the report, as caveats; on
    stderr it would come again in every timed round.
    """
    from v2drop_cli.models.loading import load

    hush_libraries()
    return load(model, load_options)


def hush_libraries() -> None:
    """No log lines and progress bars of transformers and the Hub from here on."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    silence: Any = hub_logging.set_verbosity_error  # untyped in huggingface_hub
    silence()


class Drafts:
    """Writes the report so far, again and again.

    A disk that is full now must not cost the rounds to come, so it is said once and no more. The
    final report is written too, and that raises.
    """

    def __init__(self, file: ResultFile) -> None:
        self._file, self._told = file, False

    def __call__(self, report: Report) -> None:
        """Replace the file."""
        try:
            self._file.write(report.dumps())
        except V2DropError as error:
            if not self._told:
                typer.echo(f"warning: {error.message}; measuring goes on", err=True)
            self._told = True


def show(report: Report, as_json: bool) -> None:
    """The report on stdout."""
    if as_json:
        from v2drop_cli.report.text import encodable_json

        sys.stdout.write(encodable_json(report.dumps(), sys.stdout.encoding) + "\n")
        return
    from rich.console import Console

    from v2drop_cli.report.bench_view import build_view
    from v2drop_cli.report.terminal import render

    render(build_view(report), Console())


def check_strict(strict: bool, gates: Sized) -> None:
    """Refuse ``--strict`` without a gate: such a build could never fail."""
    if strict and not gates:
        raise UsageError("--strict is about gates, and there is none", hint="give --fail-if GATE")


def settle(gates: Iterable[GateResult], strict: bool) -> None:
    """Leave with 3 if a gate failed; say which are undecided, and leave with 5 if ``strict``.

    Raises:
        GateError: a gate failed.
        UndecidedError: none failed, one is undecided, and that is not enough.
    """
    from v2drop_cli.records.changes import FAILED, UNDECIDED
    from v2drop_cli.report.text import clean, encodable

    said: dict[str, list[str]] = {FAILED: [], UNDECIDED: []}
    for gate in gates:
        if gate.outcome in said:
            said[gate.outcome].append(f"{gate.text}: {gate.message}")
    failed, undecided = said[FAILED], said[UNDECIDED]
    if failed or not strict:
        for line in undecided:
            typer.echo(encodable(f"undecided: {clean(line)}", sys.stderr.encoding), err=True)
    if failed:
        raise GateError(f"{len(failed)} gate(s) failed: {'; '.join(failed)}")
    if strict and undecided:
        raise UndecidedError(
            f"{len(undecided)} gate(s) undecided: {'; '.join(undecided)}",
            hint="measure more rounds on a quieter machine, or move the limit out of the noise",
        )
