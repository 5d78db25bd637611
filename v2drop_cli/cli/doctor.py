"""``v2drop doctor``."""

from __future__ import annotations

import sys

import typer

from v2drop_cli.cli import options as o
from v2drop_cli.cli.guard import guarded


@guarded
def doctor(
    model: o.Model = "tiny",
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    json: o.Json = False,
    debug: o.Debug = False,
) -> None:
    """Check this machine: software, GPU, Hub cache, memory for a model.

    Leaves with 1 if something that matters is not ok.

    \b
    v2drop doctor
    v2drop doctor --model llava-1.5-7b --device cuda --dtype float16
    """
    from v2drop_cli.models.loading_options import LoadOptions

    LoadOptions(device=device, dtype=dtype).check(model)
    from v2drop_cli.run.doctor import examine

    findings = examine(model, device, dtype)
    if json:
        from dataclasses import asdict
        from json import dumps

        sys.stdout.write(dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        from rich.console import Console

        from v2drop_cli.report.listing import Check, render_checks

        checks = [Check(f.ok, f.name, f.detail, f.fix if f.ok is False else None) for f in findings]
        render_checks("v2drop doctor", checks, Console())
    if any(finding.ok is False for finding in findings):
        raise typer.Exit(1)
