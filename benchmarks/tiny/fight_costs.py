"""What the fair fight costs on the embedded model: python -m benchmarks.tiny.fight_costs

``profile`` with every method at every budget, on the sample picture and the sample clip: prefill
against dense, and peak memory. On a model this small, what is the same for all methods takes most
of the time; docs/benchmarks.md has what choosing costs in a larger decoder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import v2drop_cli
from benchmarks import tables
from benchmarks.result import RESULTS, origin, write
from benchmarks.tiny.fair_fight import BUDGETS, MEDIA, SAMPLES
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.records import DENSE, Report

OUTPUT = RESULTS / "fair-fight-costs.json"


def measured(
    loaded: LoadedModel, media: str, methods: Sequence[str], rounds: int
) -> dict[str, Any]:
    """One medium's arms."""
    if media == "image":
        shown = v2drop_cli.load_image(SAMPLES / "scene.png")
    else:
        shown = v2drop_cli.load_video(SAMPLES / "clip.mp4", 8)
    report = v2drop_cli.profile(
        loaded, shown, method=methods, budget=BUDGETS, repeats=rounds, max_time_s=0, new_tokens=2
    )
    return {
        "media": media,
        "rounds": report.protocol.rounds if report.protocol else None,
        "peak_kind": report.arms[0].memory.peak_kind,
        "arms": list(_arms(report)),
    }


def _arms(report: Report) -> list[dict[str, Any]]:
    ratios = {found.arm: found.prefill_speedup for found in report.comparisons}
    return [
        {
            "arm": arm.label,
            "layer_average": arm.layer_average_vision_tokens,
            "prefill": asdict(ratio) if (ratio := ratios.get(arm.label)) is not None else None,
            "peak_bytes": arm.memory.peak_bytes,
        }
        for arm in report.arms
        if arm.label == DENSE or arm.label in ratios
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, save, and fill the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--methods", nargs="*", default=["all"])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args(arguments)
    loaded = v2drop_cli.load("tiny", device="cpu", dtype="float32")
    head = origin(loaded.device)
    media = [measured(loaded, name, args.methods, args.rounds) for name in MEDIA]
    write(args.output, head | {"budgets": BUDGETS, "media": media})
    if args.output == OUTPUT:
        tables.main()


if __name__ == "__main__":
    main()
