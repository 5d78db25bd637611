"""``v2drop sweep``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.cli.called import called
from v2drop_cli.cli.groups.dropping_options import DroppingOptions
from v2drop_cli.cli.groups.model_options import ModelOptions
from v2drop_cli.cli.groups.output_options import ProfileOutput
from v2drop_cli.cli.groups.sweep_options import SweepMeasuring, SweepSizes
from v2drop_cli.cli.guard import leave_if_partial
from v2drop_cli.cli.interrupts import check
from v2drop_cli.cli.output import Drafts, ResultFiles, hand_over, warn, write
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.records.curves import FRAMES

if TYPE_CHECKING:
    from v2drop_cli.bench.sizes import Growing
    from v2drop_cli.commands.sweep import SweepOptions
    from v2drop_cli.media import Media
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.records.curves import Sweep


@command
def sweep(
    given: SweepSizes,
    dropping: DroppingOptions,
    model: ModelOptions,
    measuring: SweepMeasuring,
    output: ProfileOutput,
) -> None:
    """Measure dense and dropping at growing sizes: how they grow, and what fits.

    \b
    v2drop sweep --video clip.mp4 --frames 2,4,8
    v2drop sweep --image sample_media/scene.png --batch-size 1,2,4
    v2drop sweep --model llava-onevision-7b --weights dummy --frames 8,16,32 --max-memory 24GiB
    """
    arms = dropping.arms(measuring.seed)
    load = model.load_options(measuring.seed)
    measuring.check()
    _, sizes = given.growing()
    first = given.at(sizes[0])
    load = first.checked(load)
    files = output.files(first.files)
    with files.held():
        with telling() as tell:
            tell(Progress(Phase.STARTING))
            from v2drop_cli.commands.sweep import sweep as measure  # torch comes with it

            tell(Progress(Phase.LOADING, what=model.model))
            loaded = load_for(arms, first.kinds(load), model.model, load)
            options = _options(given, dropping, model, measuring, (loaded, load))
            draft = None if files.json is None else Drafts(files.json)
            on_size = None if draft is None else lambda found: draft.put(_summed_up(found))
            found = measure(loaded, options, Watch(tell, None, check, warn), on_size)
        _tell(found, files, output.json)
    leave_if_partial(found)


def _options(
    given: SweepSizes,
    dropping: DroppingOptions,
    model: ModelOptions,
    measuring: SweepMeasuring,
    ready: tuple[LoadedModel, LoadOptions],
) -> SweepOptions:
    from v2drop_cli.commands.profile import ProfileOptions
    from v2drop_cli.commands.sweep import SweepOptions

    loaded, load = ready
    first = given.at(given.growing()[1][0])
    each = ProfileOptions(
        prompt=first.question(model.model, load),
        model_name=model.model,
        arms=dropping.arms(measuring.seed),
        stop=measuring.stop_rule(),
        with_random=False,
        max_new_tokens=measuring.max_new_tokens,
        new_tokens=measuring.new_tokens,
        warmup=measuring.warmup,
        decode=measuring.decode,
    )
    growing = _growing(given, loaded, load, each.prompt, each.most_new_tokens)
    return SweepOptions(each, growing, measuring.memory())


def _growing(
    given: SweepSizes, loaded: LoadedModel, load: LoadOptions, prompt: str, new_tokens: int
) -> Growing:
    """The sizes, and what there is to see at each."""
    from v2drop_cli.bench.sizes import Growing, Shown

    dimension, sizes = given.growing()

    @functools.cache
    def opened(frames: int | None) -> list[Media]:
        """The files; a video anew for each number of frames."""
        options = given.at(sizes[0] if frames is None else frames)
        return options.fitted(loaded, options.open(), prompt, new_tokens)

    def shown(size: int) -> Shown:
        options = given.at(size)
        if load.synthetic is not None:
            return Shown((), options.checked(load).synthetic, given.rows(size))
        media = opened(size if dimension == FRAMES else None)
        if dimension == FRAMES and len(media[0].frames) < size:
            raise MediaArgumentError(
                f"{media[0].path} has {len(media[0].frames)} frames, fewer than {size}",
                hint="leave the larger sizes out",
            )
        return Shown(media, None, given.rows(size))

    for size in sizes:
        shown(size)
    return Growing(dimension, sizes, shown, given.most())


def _summed_up(found: Sweep) -> Sweep:
    from v2drop_cli.report.sweep_view import summarised_sweep

    return summarised_sweep(found, called())


def _tell(found: Sweep, files: ResultFiles, as_json: bool) -> None:
    """On stdout first: whatever becomes of the files."""
    from v2drop_cli.report.sweep_csv import sweep_to_csv
    from v2drop_cli.report.sweep_view import build_sweep_view

    found = _summed_up(found)
    view = build_sweep_view(found)
    hand_over(found, view, files, as_json)
    if files.csv is not None:
        write(files.csv, sweep_to_csv(found))
    if files.html is not None:
        from v2drop_cli.report.html.sweep_page import sweep_to_html

        write(files.html, sweep_to_html(found))
