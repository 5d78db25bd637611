"""``v2drop run``."""

from __future__ import annotations

from v2drop_cli.bench.watch import Phase, Progress
from v2drop_cli.cli.groups.dropping_options import DroppingOptions
from v2drop_cli.cli.groups.measuring_options import RunMeasuring
from v2drop_cli.cli.groups.media_options import MediaOptions
from v2drop_cli.cli.groups.model_options import LargeModelOptions
from v2drop_cli.cli.groups.output_options import PicturedOutput
from v2drop_cli.cli.guard import leave_if_partial
from v2drop_cli.cli.output import show, watching
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import load_for
from v2drop_cli.cli.signature import command


@command
def run(
    given: MediaOptions,
    dropping: DroppingOptions,
    model: LargeModelOptions,
    measuring: RunMeasuring,
    output: PicturedOutput,
) -> None:
    """Answer one prompt dense and with dropping, side by side.

    \b
    v2drop run --image sample_media/scene.png
    v2drop run --model qwen2-vl-7b --image a.png --image b.png --prompt "what changed?"
    v2drop run --video clip.mp4 --budget 33% --method v2drop --method random
    v2drop run --model llava-1.5-7b --weights dummy --image cat.jpg --json
    """
    arms = dropping.arms(measuring.seed)
    load = given.checked(model.load_options(measuring.seed))
    files = output.files(given.files)
    drawn = output.kept_files(given.files)
    media = given.open()

    with files.held():
        with telling() as tell:
            tell(Progress(Phase.STARTING))
            from v2drop_cli.commands.run import RunOptions  # torch comes with it
            from v2drop_cli.commands.run import run as measure

            run_options = RunOptions(
                prompt=given.question(model.model, load),
                model_name=model.model,
                arms=arms,
                max_new_tokens=measuring.max_new_tokens,
                repeats=measuring.repeats,
                warmup=measuring.warmup,
                synthetic=load.synthetic,
            )
            tell(Progress(Phase.LOADING, what=model.model))
            loaded = load_for(arms, given.kinds(load), model.model, load)
            media = given.fitted(loaded, media, run_options.prompt, measuring.max_new_tokens)
            report = measure(loaded, media, run_options, watching(tell, files, load.weights))
        show(report, output.json)  # first: whatever becomes of the file
        files.finish(report, media)
        if drawn is not None:
            drawn.draw(report, media)
    leave_if_partial(report)
