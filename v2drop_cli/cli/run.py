"""``v2drop run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.cli import options as o
from v2drop_cli.cli.guard import guarded
from v2drop_cli.errors import MediaArgumentError

if TYPE_CHECKING:
    from v2drop_cli.media import Media
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.records import Report
    from v2drop_cli.report.json_file import ResultFile
    from v2drop_cli.run.answer import RunOptions

DEFAULT_PROMPTS = {"image": "Describe the image.", "video": "Describe the video."}


@guarded
def run(
    image: o.Image = None,
    video: o.Video = None,
    frames: o.Frames = 8,
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
    seed: o.Seed = 0,
    max_new_tokens: o.MaxNewTokens = 64,
    repeats: o.Repeats = 5,
    warmup: o.Warmup = 1,
    json: o.Json = False,
    output: o.Output = None,
    debug: o.Debug = False,
) -> None:
    r"""Answer one prompt dense and with dropping, side by side.

    \b
    v2drop run --image cat.jpg
    v2drop run --image a.png --image b.png --prompt "what changed?" --budget 33%
    v2drop run --video clip.mp4 --schedule 1:0.5,6:0.3 --method v2drop --method random
    v2drop run --model llava-1.5-7b --weights dummy --image cat.jpg --json
    """
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.report.json_file import ResultFile
    from v2drop_cli.run.arms import ArmOptions, ScheduleOptions

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
        seed=seed,
    )
    arms.check()
    load.check(model)
    kind = _media_kind(image, video)
    result_file = None if output is None else ResultFile(output)
    media = _open_media(image, video, frames)

    from v2drop_cli.run.answer import RunOptions

    run_options = RunOptions(
        prompt=prompt if prompt is not None else DEFAULT_PROMPTS[kind],
        model_name=model,
        arms=arms,
        max_new_tokens=max_new_tokens,
        repeats=repeats,
        warmup=warmup,
    )
    report = _measure(model, load, media, run_options, result_file)
    _show(report, json)


def _media_kind(image: list[Path] | None, video: Path | None) -> str:
    """What was given; both or neither is an error. Paths are checked before any work."""
    from v2drop_cli.media import check_media_path

    if image and video:
        raise MediaArgumentError("--image and --video together", hint="give one or the other")
    if not image and not video:
        raise MediaArgumentError(
            "nothing to look at", hint="give --image FILE or --video FILE (see sample_media/)"
        )
    for path in image or ([video] if video else []):
        check_media_path(path)
    return "image" if image else "video"


def _open_media(image: list[Path] | None, video: Path | None, frames: int) -> list[Media]:
    from v2drop_cli.media import load_image, load_video

    if video is not None:
        return [load_video(video, frames)]
    return [load_image(path) for path in image or ()]


def _measure(
    model: str,
    load_options: LoadOptions,
    media: list[Media],
    run_options: RunOptions,
    result_file: ResultFile | None,
) -> Report:
    from v2drop_cli.cli.progress import telling
    from v2drop_cli.run.answer import Watch, run

    with telling() as tell:
        tell(f"loading {model}")
        loaded = load_quietly(model, load_options)
        watch = Watch(
            on_stage=tell,
            on_round=lambda report: result_file.write(report.dumps()) if result_file else None,
        )
        return run(loaded, media, run_options, watch)


def load_quietly(model: str, load_options: LoadOptions) -> LoadedModel:
    """Load without the libraries' own talk; our errors say what matters."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    from v2drop_cli.models.loading import load

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    return load(model, load_options)


def _show(report: Report, as_json: bool) -> None:
    if as_json:
        from v2drop_cli.report.text import encodable_json

        sys.stdout.write(encodable_json(report.dumps(), sys.stdout.encoding) + "\n")
        return
    from rich.console import Console

    from v2drop_cli.report.terminal import render
    from v2drop_cli.report.view import build_view

    render(build_view(report), Console())
