"""``v2drop doctor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from v2drop_cli.cli.groups.measuring_options import ProvingOptions
from v2drop_cli.cli.groups.model_options import DoctorModel
from v2drop_cli.cli.groups.output_options import JsonOutput
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from v2drop_cli.commands.doctor import Finding
    from v2drop_cli.prove.proof import Proof

SCHEMA = "v2drop.doctor/1"


@command
def doctor(asked: DoctorModel, proving: ProvingOptions, output: JsonOutput) -> None:
    """Check this machine; with --prove, that dropping is right on it.

    Looks at software, GPU and Hub cache, and at a model's files, processor and memory. Leaves
    with 1 if something that matters is not ok, or nothing could be proven.

    \b
    v2drop doctor
    v2drop doctor --model llava-1.5-7b --device cuda --dtype float16
    v2drop doctor --prove
    v2drop doctor --prove --model qwen2-vl-7b --dtype bfloat16 --attn-implementation sdpa
    """
    asked.check()
    if asked.attn_implementation is not None and not proving.prove:
        raise UsageError(
            "--attn-implementation says what to prove, and nothing is to be proven",
            hint="add --prove",
        )
    from v2drop_cli.commands.doctor import examine

    family = _family(asked.model) if proving.prove and asked.model is not None else None
    findings = examine(asked.name, asked.device, asked.dtype)
    if not proving.prove:
        _show(asked.name, findings, None, output.json)
        fine = True
    else:
        from v2drop_cli.cli.proving import prove
        from v2drop_cli.prove.plan import Asked, holds

        proofs = prove(Asked(family, asked.dtype, asked.attn_implementation), asked.device)
        _show(asked.name, findings, proofs, output.json)
        fine = holds(proofs)
    if not fine or any(finding.ok is False for finding in findings):
        raise typer.Exit(1)


def _family(model: str) -> str:
    """The family of a model, which need not be downloaded: its configuration says it."""
    from v2drop_cli.models.loading import config_of
    from v2drop_cli.models.names import ALIASES
    from v2drop_cli.models.registry import family_for

    return ALIASES[model].family if model in ALIASES else family_for(config_of(model)).name


def _show(model: str, findings: list[Finding], proofs: list[Proof] | None, as_json: bool) -> None:
    """On stdout: the findings, and after them what was proven, if that was asked."""
    if as_json:
        from dataclasses import asdict
        from json import dumps

        found: dict[str, object] = {"schema": SCHEMA, "model": model}
        found["findings"] = [asdict(finding) for finding in findings]
        if proofs is not None:
            found["proof"] = [asdict(proof) for proof in proofs]
        sys.stdout.write(dumps(found, indent=2) + "\n")
        return
    from rich.console import Console

    from v2drop_cli.cli.proving import checks
    from v2drop_cli.report.listing import Check, render_checks

    console = Console()
    lines = [Check(f.ok, f.name, f.detail, f.fix) for f in findings]
    render_checks("v2drop doctor", lines, console)
    if proofs is not None:
        console.print()
        render_checks("Proof: dropping against the masked oracle", checks(proofs), console)
