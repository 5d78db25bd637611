"""Options that several commands share. Names follow transformers where it has one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MEDIA, DROPPING, MODEL, MEASURING, OUTPUT = (
    "Media and prompt",
    "Dropping",
    "Model",
    "Measuring",
    "Output",
)

Image = Annotated[
    list[Path] | None,
    typer.Option(
        "--image", metavar="FILE", help="Image file; repeat for several.", rich_help_panel=MEDIA
    ),
]
Video = Annotated[
    Path | None, typer.Option("--video", metavar="FILE", help="Video file.", rich_help_panel=MEDIA)
]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        metavar="N",
        min=1,
        help="Frames sampled evenly [default: 8]; or of a made-up video.",
        rich_help_panel=MEDIA,
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        help="Question [default: one that fits the model].",
        rich_help_panel=MEDIA,
    ),
]
Schedules = Annotated[
    list[str] | None,
    typer.Option(
        "--schedule",
        metavar="SCHEDULE",
        help="LAYER:KEEP[,LAYER:KEEP...], e.g. 3:0.5,17:30%,22:1t; repeat to compare.",
        rich_help_panel=DROPPING,
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        "--layers", metavar="LAYERS", help="Where to drop, e.g. 3,17.", rich_help_panel=DROPPING
    ),
]
Ratios = Annotated[
    list[str] | None,
    typer.Option(
        "--ratios",
        metavar="RATIOS",
        help="Share kept at each layer, of the tokens still alive, e.g. 0.5,0.25; repeatable.",
        rich_help_panel=DROPPING,
    ),
]
Presets = Annotated[
    list[str] | None,
    typer.Option(
        "--preset", metavar="NAME", help="A named schedule; repeatable.", rich_help_panel=DROPPING
    ),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="TOKENS",
        help="Layer-average vision tokens, e.g. 192 or 33%; repeatable.",
        rich_help_panel=DROPPING,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="Method; repeat to compare [default: v2drop].",
        rich_help_panel=DROPPING,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Alias (see v2drop models), Hub id or path.",
        rich_help_panel=MODEL,
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="KIND",
        help="trained, or dummy: random, no download.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.", rich_help_panel=MODEL
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="DTYPE",
        help="auto, float32, float16 or bfloat16.",
        rich_help_panel=MODEL,
    ),
]
Attention = Annotated[
    str | None,
    typer.Option(
        "--attn-implementation",
        metavar="NAME",
        help="As in transformers: sdpa, eager, flash_attention_2 ...",
        rich_help_panel=MODEL,
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision", metavar="REV", help="Branch, tag or commit on the Hub.", rich_help_panel=MODEL
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code from the Hub.", rich_help_panel=MODEL),
]
AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help="Load old .bin weights (loading can run code).",
        rich_help_panel=MODEL,
    ),
]
AllowUnproven = Annotated[
    bool,
    typer.Option(
        "--allow-unproven",
        help="Drop also in a decoder in which nobody has proven it.",
        rich_help_panel=MODEL,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**32 - 1,
        metavar="N",
        help="For random selection, dummy weights, order.",
        rich_help_panel=MEASURING,
    ),
]
MaxNewTokens = Annotated[
    int,
    typer.Option(
        "--max-new-tokens", metavar="N", min=1, help="Longest answer.", rich_help_panel=MEASURING
    ),
]
Repeats = Annotated[
    int,
    typer.Option("--repeats", metavar="N", min=1, help="Timed rounds.", rich_help_panel=MEASURING),
]
Warmup = Annotated[
    int,
    typer.Option(
        "--warmup",
        metavar="N",
        min=0,
        help="Untimed rounds before them.",
        rich_help_panel=MEASURING,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=OUTPUT)
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write the JSON document to a file too.",
        rich_help_panel=OUTPUT,
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)]
