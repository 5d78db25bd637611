"""``v2drop viz``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.cli.called import typed_beside
from v2drop_cli.cli.groups.dropping_options import DroppingOptions
from v2drop_cli.cli.groups.measuring_options import SeedOption
from v2drop_cli.cli.groups.media_options import MediaOptions
from v2drop_cli.cli.groups.model_options import ModelOptions
from v2drop_cli.cli.groups.output_options import VizOutput
from v2drop_cli.cli.guard import leave_if_partial
from v2drop_cli.cli.interrupts import check
from v2drop_cli.cli.kept_files import KeptFiles, kept_name
from v2drop_cli.cli.output import warn
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from v2drop_cli.records import Report
    from v2drop_cli.report.kept_figure import KeptFigure
    from v2drop_cli.report.kept_pictures import Images

# What is dropped is dropped before the first new token; a second one makes a decode step to time.
NEW_TOKENS = 2


@command
def viz(
    output: VizOutput,
    given: MediaOptions,
    dropping: DroppingOptions,
    model: ModelOptions,
    seed: SeedOption,
) -> None:
    """Draw which vision tokens stay: of a saved report, or of a prompt.

    \b
    v2drop viz report.json
    v2drop viz --image sample_media/scene.png --method v2drop --method random
    v2drop viz --video clip.mp4 --budget 33% --scores --output kept.png
    """
    if output.report is not None:
        _refuse_both()
        kept = _of_report(output.report, output.folder)
    else:
        asked = Prompted(given, dropping, model, seed.seed)
        kept = _of_prompt(asked, output)
    _preview(kept)
    kept.files.write(kept.figure, kept.pictures)
    if kept.report is not None:
        leave_if_partial(kept.report)


@dataclass(frozen=True, slots=True)
class Kept:
    """A figure, the pictures under it, and where it goes; of a prompt also what was measured."""

    files: KeptFiles
    figure: KeptFigure
    pictures: Images
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class Prompted:
    """What to run, where there is no report."""

    given: MediaOptions
    dropping: DroppingOptions
    model: ModelOptions
    seed: int


def _refuse_both() -> None:
    """A report and what would be measured. A config file may say it all the same."""
    beside = typed_beside("report", "output", "debug", "config", "no_config")
    if beside:
        raise UsageError(
            f"a report together with {', '.join(beside)}",
            hint="a report has it all: give it alone, or leave it out to run a prompt",
        )


def _of_report(path: Path, output: Path) -> Kept:
    """Of what was measured before: no model is needed."""
    from v2drop_cli.commands.viz import find_media
    from v2drop_cli.records.reading import read_report
    from v2drop_cli.report.kept_figure import kept_figure
    from v2drop_cli.report.kept_pictures import pictures_of

    report = read_report(path)
    kept_figure(report)  # refuses before files are opened
    files = KeptFiles.checked(output, f"{path.stem}-kept", (path,))
    found = find_media(report.request.media, path.parent)
    for note in found.notes:
        warn(note)
    return Kept(files, kept_figure(report, found.notes), pictures_of(found.media))


def _of_prompt(asked: Prompted, output: VizOutput) -> Kept:
    """Of a prompt that every method runs once."""
    from v2drop_cli.commands.viz import scores_of
    from v2drop_cli.report.kept_figure import kept_figure
    from v2drop_cli.report.kept_pictures import pictures_of

    given, model = asked.given, asked.model
    arms = asked.dropping.arms(asked.seed)
    load = given.checked(model.load_options(asked.seed))
    names = given.files
    files = KeptFiles.checked(output.folder, kept_name(names), names)
    media = given.open()
    with telling() as tell:
        tell(Progress(Phase.STARTING))
        from v2drop_cli.commands.run import RunOptions  # torch comes with it
        from v2drop_cli.commands.run import run as measure

        options = RunOptions(
            prompt=given.question(model.model, load),
            model_name=model.model,
            arms=arms,
            max_new_tokens=NEW_TOKENS,
            repeats=1,
            warmup=0,
            synthetic=load.synthetic,
        )
        tell(Progress(Phase.LOADING, what=model.model))
        loaded = load_for(arms, given.kinds(load), model.model, load)
        media = given.fitted(loaded, media, options.prompt, NEW_TOKENS)
        report = measure(loaded, media, options, Watch(tell, None, check, warn))
        scores = scores_of(loaded, media, options) if output.scores else None
    return Kept(files, kept_figure(report, (), scores), pictures_of(media), report)


def _preview(kept: Kept) -> None:
    from rich.console import Console

    from v2drop_cli.report.kept_terminal import preview

    preview(kept.figure, kept.pictures, Console())
