"""``v2drop doctor``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from v2drop_cli.cli.groups.measuring_options import ProvingOptions
from v2drop_cli.cli.groups.model_options import DoctorModel
from v2drop_cli.cli.groups.output_options import CommonOutput
from v2drop_cli.cli.output import write
from v2drop_cli.cli.signature import command
from v2drop_cli.errors import UsageError

if TYPE_CHECKING:
    from v2drop_cli.commands.doctor import Finding
    from v2drop_cli.prove.proof import Proof
    from v2drop_cli.report.listing import Check

SCHEMA = "v2drop.doctor/1"


@command
def doctor(asked: DoctorModel, proving: ProvingOptions, output: CommonOutput) -> None:
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

    files = output.files()
    family = _family(asked.model) if proving.prove and asked.model is not None else None
    findings = examine(asked.name, asked.device, asked.dtype)
    proofs, fine = None, True
    if proving.prove:
        from v2drop_cli.cli.proving import prove
        from v2drop_cli.prove.plan import Asked, holds

        proofs = prove(Asked(family, asked.dtype, asked.attn_implementation), asked.device)
        fine = holds(proofs)
    _show(asked.name, findings, proofs, output.json)
    with files.held():
        if files.markdown is not None:
            write(files.markdown, _page(findings, proofs))
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

    from v2drop_cli.report.listing import render_checks

    console = Console()
    for number, (title, checks) in enumerate(_sections(findings, proofs).items()):
        if number:
            console.print()
        render_checks(title, checks, console)


def _sections(findings: list[Finding], proofs: list[Proof] | None) -> dict[str, list[Check]]:
    """Titles and what is under them."""
    from v2drop_cli.cli.proving import checks
    from v2drop_cli.report.listing import Check

    found = {"v2drop doctor": [Check(f.ok, f.name, f.detail, f.fix) for f in findings]}
    if proofs is not None:
        found["Proof: dropping against the masked oracle"] = list(checks(proofs))
    return found


def _page(findings: list[Finding], proofs: list[Proof] | None) -> str:
    """The same as Markdown."""
    from v2drop_cli.report.markdown import tables_to_markdown

    sections = _sections(findings, proofs).items()
    tables = {title: [check.as_row() for check in found] for title, found in sections}
    return tables_to_markdown("v2drop", tables)
