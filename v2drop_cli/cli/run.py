"""``v2drop run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2drop_cli.cli import media_options as m
from v2drop_cli.cli import options as o
from v2drop_cli.cli.common import (
    Drafts,
    load_quietly,
    show,
)
from v2drop_cli.cli.guard import guarded

if TYPE_CHECKING:
    from v2drop_cli.commands.run import RunOptions
    from v2drop_cli.media import Media
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.records import Report
    from v2drop_cli.report.result_file import ResultFile


@guarded
def run(
    image: o.Image = None,
    video: o.Video = None,
    frames: o.Frames = None,
    image_size: m.ImageSize = None,
    text_tokens: m.TextTokens = None,
    prompt: o.Prompt = None,
    schedule: o.Schedules = None,
    layers: o.Layers = None,
    ratios: o.Ratios = None,
    preset: o.Presets = None,
    budget: o.Budgets = None,
    method: o.Methods = None,
    model: o.Model = "tiny",
    weights: o.Weights = "trained",
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    attn_implementation: o.Attention = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    allow_unproven: o.AllowUnproven = False,
    seed: o.Seed = 0,
    max_new_tokens: o.MaxNewTokens = 64,
    repeats: o.Repeats = 5,
    warmup: o.Warmup = 1,
    json: o.Json = False,
    output: o.Output = None,
    debug: o.Debug = False,
) -> None:
    """Answer one prompt dense and with dropping, side by side.

    \b
    v2drop run --image cat.jpg
    v2drop run --image a.png --image b.png --prompt "what changed?" --budget 33%
    v2drop run --video clip.mp4 --schedule 1:0.5,6:0.3 --method v2drop --method random
    v2drop run --model llava-1.5-7b --weights dummy --image cat.jpg --json
    """
    from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.report.result_file import ResultFile

    arms = ArmOptions(
        ScheduleOptions(
            schedules=tuple(schedule or ()),
            layers=layers,
            ratios=tuple(ratios or ()),
            presets=tuple(preset or ()),
            budgets=tuple(budget or ()),
        ),
        methods=tuple(method or ("v2drop",)),
        seed=seed,
    )
    load = LoadOptions(
        device=device,
        dtype=dtype,
        weights=weights,
        attn_implementation=attn_implementation,
        revision=revision,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        allow_unproven=allow_unproven,
        seed=seed,
    )
    arms.check()
    load.check(model)
    given = m.MediaOptions(image, video, frames, prompt, image_size, text_tokens)
    load = given.checked(load)
    result_file = None if output is None else ResultFile(output)
    media = given.open()

    from v2drop_cli.commands.run import RunOptions

    run_options = RunOptions(
        prompt=given.question(model, load),
        model_name=model,
        arms=arms,
        max_new_tokens=max_new_tokens,
        repeats=repeats,
        warmup=warmup,
        synthetic=load.synthetic,
    )
    report = _measure(load, given, media, run_options, result_file)
    show(report, json)  # first: whatever becomes of the file
    if result_file is not None:
        result_file.write(report.dumps())


def _measure(
    load_options: LoadOptions,
    given: m.MediaOptions,
    media: list[Media],
    run_options: RunOptions,
    result_file: ResultFile | None,
) -> Report:
    from v2drop_cli.bench.watch import Phase, Progress, Watch
    from v2drop_cli.cli.interrupts import check
    from v2drop_cli.cli.progress import telling
    from v2drop_cli.commands.run import run

    with telling() as tell:
        tell(Progress(Phase.LOADING, what=run_options.model_name))
        loaded = load_quietly(run_options.model_name, load_options)
        new_tokens = run_options.max_new_tokens
        media = given.fitted(loaded, media, run_options.prompt, new_tokens)
        watch = Watch(
            on_progress=tell,
            on_round=Drafts(result_file) if result_file else None,
            check=check,
        )
        return run(loaded, media, run_options, watch)
