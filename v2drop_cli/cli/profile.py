"""``v2drop profile``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from v2drop_cli.cli import media_options as m
from v2drop_cli.cli import options as o
from v2drop_cli.cli import profile_options as p
from v2drop_cli.cli.common import load_quietly, settle, show
from v2drop_cli.cli.guard import INTERRUPTED, guarded
from v2drop_cli.errors import InvalidMeasurementError

if TYPE_CHECKING:
    from v2drop_cli.commands.profile import ProfileOptions
    from v2drop_cli.judge.value_gates import Gate
    from v2drop_cli.media import Media
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.records import Report
    from v2drop_cli.records.changes import GateResult


@guarded
def profile(
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
    no_random: p.NoRandom = False,
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
    new_tokens: p.NewTokens = 16,
    batch_size: p.BatchSize = 1,
    decode: p.Decode = "eager",
    repeats: p.LeastRepeats = None,
    warmup: o.Warmup = 2,
    precision: p.Precision = "1%",
    max_time: p.MaxTime = 60.0,
    fail_if: p.FailIf = None,
    strict: p.Strict = False,
    json: o.Json = False,
    output: o.Output = None,
    export_md: p.ExportMd = None,
    export_csv: p.ExportCsv = None,
    debug: o.Debug = False,
) -> None:
    """Measure dense, dropping and random until the numbers hold.

    \b
    v2drop profile --image cat.jpg
    v2drop profile --video clip.mp4 --ratios 0.5,0.25 --output report.json
    v2drop profile --image cat.jpg --fail-if "prefill_speedup<1.2"
    v2drop profile --model llava-1.5-7b --weights dummy --image-size 336x336
    """
    from v2drop_cli.bench.arms import ArmOptions, ScheduleOptions
    from v2drop_cli.models.loading_options import LoadOptions

    places = (layers, tuple(ratios or ()), tuple(preset or ()), tuple(budget or ()))
    arms = ArmOptions(
        ScheduleOptions(tuple(schedule or ()), *places),
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
    gates = p.parse_gates_of(fail_if, strict)
    wanted = p.parse_precision(precision, max_time)
    given = m.MediaOptions(image, video, frames, prompt, image_size, text_tokens)
    load = given.checked(load)
    files = p.ResultFiles.checked(output, export_md, export_csv, (*(image or ()), video))

    from v2drop_cli.bench.stopping import StopRule
    from v2drop_cli.commands.profile import ProfileOptions

    options = ProfileOptions(
        prompt=given.question(model, load),
        model_name=model,
        arms=arms,
        stop=StopRule(repeats, wanted, max_time),
        with_random=not no_random,
        max_new_tokens=max_new_tokens,
        new_tokens=new_tokens,
        warmup=warmup,
        batch_size=batch_size,
        synthetic=load.synthetic,
        decode=p.parse_decode(decode),
        labels=tuple(gate.arm for gate in gates if gate.arm is not None),
    )
    report = _measure(load, given, given.open(), options, files)
    show(report, json)  # first: whatever becomes of the files
    files.finish(report)
    settle(_judged(gates, report, options), strict)


def _measure(
    load_options: LoadOptions,
    given: m.MediaOptions,
    media: list[Media],
    options: ProfileOptions,
    files: p.ResultFiles,
) -> Report:
    from v2drop_cli.bench.watch import Phase, Progress, Watch
    from v2drop_cli.cli.interrupts import check
    from v2drop_cli.cli.progress import telling
    from v2drop_cli.commands.profile import profile as measure

    with telling() as tell:
        tell(Progress(Phase.LOADING, what=options.model_name))
        loaded = load_quietly(options.model_name, load_options)
        new_tokens = max(options.max_new_tokens, options.new_tokens)
        media = given.fitted(loaded, media, options.prompt, new_tokens)
        return measure(loaded, media, options, Watch(tell, files.on_round, check))


def _judged(
    gates: Sequence[Gate], report: Report, options: ProfileOptions
) -> tuple[GateResult, ...]:
    """The gates' outcomes; leave where the report is not to be judged: interrupted, or invalid."""
    from v2drop_cli.commands.profile import invalid
    from v2drop_cli.judge.value_gates import judged

    useless = invalid(report.protocol)
    if report.protocol is not None and report.protocol.partial:
        typer.echo("interrupted: the report is partial", err=True)
        raise typer.Exit(INTERRUPTED)
    if useless is not None:
        raise InvalidMeasurementError(useless, hint="let it cool, or free it, and measure again")
    return judged(gates, report, options.arms.methods)
