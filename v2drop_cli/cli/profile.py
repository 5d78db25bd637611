"""``v2drop profile``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from v2drop_cli.cli import options as o
from v2drop_cli.cli import profile_options as p
from v2drop_cli.cli.guard import INTERRUPTED, guarded
from v2drop_cli.cli.shared import (
    DEFAULT_FRAMES,
    load_quietly,
    media_kind,
    open_media,
    show,
)
from v2drop_cli.errors import GateError, InvalidMeasurementError

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.records import Report
    from v2drop_cli.run.profile import ProfileOptions


@guarded
def profile(
    image: o.Image = None,
    video: o.Video = None,
    frames: o.Frames = DEFAULT_FRAMES,
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
    seed: o.Seed = 0,
    max_new_tokens: o.MaxNewTokens = 64,
    new_tokens: p.NewTokens = 16,
    batch_size: p.BatchSize = 1,
    decode: p.Decode = "eager",
    repeats: p.LeastRepeats = 10,
    warmup: o.Warmup = 2,
    precision: p.Precision = "1%",
    max_time: p.MaxTime = 60.0,
    fail_if: p.FailIf = None,
    json: o.Json = False,
    output: o.Output = None,
    export_md: p.ExportMd = None,
    export_csv: p.ExportCsv = None,
    debug: o.Debug = False,
) -> None:
    """Measure dense, dropping and random selection until the numbers hold.

    \b
    v2drop profile --image cat.jpg
    v2drop profile --video clip.mp4 --ratios 0.5,0.25 --output report.json
    v2drop profile --image cat.jpg --fail-if "prefill_speedup<1.2"
    """
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.models.registry import default_prompt
    from v2drop_cli.run.arms import ArmOptions, ScheduleOptions
    from v2drop_cli.run.gates import parse_gates

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
        seed=seed,
    )
    arms.check()
    load.check(model)
    gates, wanted = parse_gates(fail_if or ()), p.parse_precision(precision)
    decoding = p.parse_decode(decode)
    kind = media_kind(image, video)
    files = p.ResultFiles.checked(output, export_md, export_csv)
    media = open_media(image, video, frames)

    from v2drop_cli.run.gates import failures
    from v2drop_cli.run.profile import ProfileOptions, StopRule, invalid

    options = ProfileOptions(
        prompt=prompt if prompt is not None else default_prompt(model, kind),
        model_name=model,
        arms=arms,
        stop=StopRule(repeats, wanted, max_time),
        with_random=not no_random,
        max_new_tokens=max_new_tokens,
        new_tokens=new_tokens,
        warmup=warmup,
        batch_size=batch_size,
        decode=decoding,
    )
    report = _measure(load, media, options, files)
    files.finish(report)
    show(report, json)
    _leave(report, invalid(report.protocol), failures(gates, report, arms.methods))


def _measure(
    load_options: LoadOptions,
    media: list[Media],
    options: ProfileOptions,
    files: p.ResultFiles,
) -> Report:
    from v2drop_cli.cli.progress import telling
    from v2drop_cli.run.passes import Watch
    from v2drop_cli.run.profile import profile as measure

    with telling() as tell:
        tell(f"loading {options.model_name}")
        loaded = load_quietly(options.model_name, load_options)
        return measure(loaded, media, options, Watch(tell, files.on_round))


def _leave(report: Report, useless: str | None, failed: list[str]) -> None:
    """Leave with what the report means: interrupted, invalid, a gate failed, or nothing."""
    if report.protocol is not None and report.protocol.partial:
        typer.echo("interrupted: the report is partial", err=True)
        raise typer.Exit(INTERRUPTED)
    if useless is not None:
        raise InvalidMeasurementError(useless, hint="let it cool, or free it, and measure again")
    if failed:
        raise GateError(f"{len(failed)} gate(s) failed: {'; '.join(failed)}")
