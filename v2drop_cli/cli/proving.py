"""``v2drop doctor --prove``: ask for the proofs, and say what came out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from v2drop_cli.bench.watch import Phase, Progress
from v2drop_cli.cli.progress import telling
from v2drop_cli.cli.quiet import hush_libraries
from v2drop_cli.errors import DeviceError

if TYPE_CHECKING:
    from v2drop_cli.prove.plan import Asked
    from v2drop_cli.prove.proof import Proof
    from v2drop_cli.report.listing import Check

MEANING = (
    "errors: the largest difference of logits as a share of their standard deviation, against the "
    "model in float32 with the dropped tokens masked"
)


def prove(asked: Asked, device_name: str) -> list[Proof]:
    """All proofs asked for, with a line on stderr that follows them."""
    from v2drop_cli.models.devices import pick_device
    from v2drop_cli.prove.proof import Proof, Prover

    hush_libraries()
    try:
        device = pick_device(device_name)
    except DeviceError as error:
        nowhere = Proof(asked.family, None, device_name, None, asked.attention, None)
        return [replace(nowhere, ok=False, reason=error.message)]
    cells, left_out = asked.cells(device)
    proofs = []
    prover = Prover(device)
    with telling() as tell:
        for number, cell in enumerate(cells):
            what = f"{cell.case} {cell.dtype} {cell.attention}"
            tell(Progress(Phase.PROOFS, number, len(cells), what=what))
            proofs.append(prover.prove(cell))
    return [*proofs, *left_out]


def checks(proofs: list[Proof]) -> list[Check]:
    """A line for each model, dtype and kernel: the worst of its prompts; the last is for all."""
    from v2drop_cli.report.listing import Check

    groups: dict[str, list[Proof]] = defaultdict(list)
    for proof in proofs:
        words = (proof.case, proof.dtype, proof.attention)
        groups[" ".join(word for word in words if word) or proof.device].append(proof)
    found = [
        Check(worst.ok, name, _detail(worst))
        for name, group in groups.items()
        for worst in [max(group, key=_badness)]
    ]
    known = [check.ok for check in found if check.ok is not None]
    held = f"{sum(known)} of {len(known)} hold; {MEANING}" if known else "nothing was proven"
    return [*found, Check(bool(known) and all(known), "all", held)]


def _badness(proof: Proof) -> tuple[int, float]:
    share = (proof.dropped_error or 0.0) / (proof.allowed or 1.0)
    return [True, None, False].index(proof.ok), share


def _detail(proof: Proof) -> str:
    from v2drop_cli.prove.proof import ENTRY

    numbers = ""
    if proof.dropped_error is not None:
        dense, allowed = (
            "n/a" if value is None else f"{value:.1e}"
            for value in (proof.dense_error, proof.allowed)
        )
        numbers = f"error {proof.dropped_error:.1e}, dense loses {dense}, allowed {allowed}"
    if proof.reason is None:
        return numbers
    where = f"{proof.prompts}: " if proof.prompts else ""
    if proof.drops == ENTRY:
        where = f"{proof.prompts}, from layer 0 on: "
    return where + proof.reason + (f" ({numbers})" if numbers else "")
