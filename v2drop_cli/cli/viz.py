"""``v2drop viz``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.cli.groups.dropping_options import DroppingOptions
from v2drop_cli.cli.groups.measuring_options import AnswerOptions
from v2drop_cli.cli.groups.media_options import MediaOptions
from v2drop_cli.cli.groups.model_options import ModelOptions
from v2drop_cli.cli.groups.output_options import VizOutput
from v2drop_cli.cli.interrupts import check
from v2drop_cli.cli.kept_files import KeptFiles
from v2drop_cli.cli.output import warn
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.records import Report
    from v2drop_cli.report.kept_figure import KeptFigure
    from v2drop_cli.report.kept_pictures import Images


@command
def viz(
    output: VizOutput,
    given: MediaOptions,
    dropping: DroppingOptions,
    model: ModelOptions,
    answering: AnswerOptions,
) -> None:
    """Draw which vision tokens stay: of a saved report, or of a prompt.

    \b
    v2drop viz report.json
    v2drop viz --image sample_media/scene.png --method v2drop --method random
    v2drop viz --video clip.mp4 --budget 33% --output kept.png
    """
    if output.report is not None:
        _refuse_both(given, dropping)
        name, read = output.report.stem, (output.report,)
        files = KeptFiles.checked(output.folder, f"{name}-kept", read)
        figure, pictures = _of_report(output.report)
    else:
        names = given.files
        name = names[0].stem if names else "synthetic"
        files = KeptFiles.checked(output.folder, f"{name}-kept", names)
        figure, pictures = _of_prompt(given, dropping, model, answering)
    _preview(figure, pictures)
    files.write(figure, pictures)


def _refuse_both(given: MediaOptions, dropping: DroppingOptions) -> None:
    for flag, value in (
        ("--image", given.image),
        ("--video", given.video),
        ("--image-size", given.image_size),
        ("--schedule", dropping.schedule),
        ("--method", dropping.method),
        ("--budget", dropping.budget),
    ):
        if value:
            raise UsageError(
                f"a report and {flag}", hint="a report says all of it: give one or the other"
            )


def _of_report(path: Path) -> tuple[KeptFigure, Images]:
    """Of what was measured before: no model is needed."""
    from v2drop_cli.commands.viz import find_media
    from v2drop_cli.records.reading import read_report
    from v2drop_cli.report.kept_figure import kept_figure
    from v2drop_cli.report.kept_pictures import pictures_of

    report = read_report(path)
    kept_figure(report)  # refuses before files are opened
    found = find_media(report.request.media, path.parent)
    for note in found.notes:
        warn(note)
    return kept_figure(report, found.notes), pictures_of(found.media)


def _of_prompt(
    given: MediaOptions, dropping: DroppingOptions, model: ModelOptions, answering: AnswerOptions
) -> tuple[KeptFigure, Images]:
    """Of a prompt that every method runs once."""
    from v2drop_cli.report.kept_figure import kept_figure
    from v2drop_cli.report.kept_pictures import pictures_of

    report, media = _measured(given, dropping, model, answering)
    return kept_figure(report), pictures_of(media)


def _measured(
    given: MediaOptions, dropping: DroppingOptions, model: ModelOptions, answering: AnswerOptions
) -> tuple[Report, list[Media]]:
    arms = dropping.arms(answering.seed)
    load = given.checked(model.load_options(answering.seed))
    media = given.open()
    with telling() as tell:
        tell(Progress(Phase.STARTING))
        from v2drop_cli.commands.run import RunOptions  # torch comes with it
        from v2drop_cli.commands.run import run as measure

        options = RunOptions(
            prompt=given.question(model.model, load),
            model_name=model.model,
            arms=arms,
            max_new_tokens=answering.max_new_tokens,
            repeats=1,
            warmup=0,
            synthetic=load.synthetic,
        )
        tell(Progress(Phase.LOADING, what=model.model))
        loaded = load_for(arms, given.kinds(load), model.model, load)
        media = given.fitted(loaded, media, options.prompt, answering.max_new_tokens)
        return measure(loaded, media, options, Watch(tell, None, check, warn)), media


def _preview(figure: KeptFigure, pictures: Images) -> None:
    from rich.console import Console

    from v2drop_cli.report.kept_terminal import preview

    preview(figure, pictures, Console())
