"""Which proofs a machine is asked for, and which kernels it has none of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import transformers
from transformers.utils import import_utils

from v2drop_cli.models.refused import LAST_SOUND
from v2drop_cli.models.registry import ATTENTION
from v2drop_cli.models.releases import release
from v2drop_cli.prove.cases import NAMES, SINCE, VARIANTS, cases_of, get_case
from v2drop_cli.prove.proof import ENTRY, LAYERS, Cell, Proof

DTYPES = ("float32", "bfloat16")
# Which batch is dropped in, and where.
BATCHES = (("image", LAYERS), ("ragged", LAYERS), ("image", ENTRY), ("ragged", ENTRY))
_EVERYWHERE = ("eager", "sdpa")
_INSTALLED = release(transformers.__version__)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be proven.

    Attributes:
        family: as registered; ``None`` for all.
        dtype: ``auto`` for those in :data:`DTYPES`.
        attention: ``None`` for eager, sdpa and the flash kernels that are here.
    """

    family: str | None = None
    dtype: str = "auto"
    attention: str | None = None

    def cells(self, device: torch.device) -> tuple[list[Cell], list[Proof]]:
        """What to prove on ``device``, and a line for each kernel or model that is left out."""
        dtypes = DTYPES if self.dtype == "auto" else (self.dtype,)
        missing = {name: self._missing(name, device, dtypes) for name in self._kernels()}
        left_out = [
            Proof(self.family, None, str(device), None, name, None, reason=why)
            for name, why in missing.items()
            if why is not None
        ]
        here, absent = self._cases(), _absent()
        left_out += [
            Proof(
                VARIANTS.get(case, case), case, str(device), None, None, None, reason=absent[case]
            )
            for case in here
            if case in absent
        ]
        wanted = [
            Cell(VARIANTS.get(case, case), case, str(device), dtype, kernel, prompts, drops=drops)
            for case in here
            if case not in absent
            for dtype in dtypes
            for kernel, why in missing.items()
            if why is None and not (is_flash(kernel) and dtype == "float32")
            for prompts, drops in BATCHES
            if drops != ENTRY or _takes_entry(case)
            # How the model counts positions by itself is the same in every dtype.
            if (prompts, drops) != ("image", ENTRY) or dtype == dtypes[0]
        ]
        return wanted, left_out

    def _cases(self) -> tuple[str, ...]:
        return cases_of(self.family) if self.family else (*NAMES, *VARIANTS)

    def _kernels(self) -> tuple[str, ...]:
        return ATTENTION if self.attention is None else (self.attention,)

    def _missing(self, kernel: str, device: torch.device, dtypes: tuple[str, ...]) -> str | None:
        """Why ``kernel`` is left out, or ``None``; what is asked for by name is at least tried."""
        if is_flash(kernel):
            if device.type != "cuda":
                return "flash kernels need a CUDA GPU"
            if set(dtypes) == {"float32"}:
                return "flash kernels take float16 and bfloat16, not float32"
            if self.attention is None and not _installed(kernel):
                return "its package is not installed; v2drop doctor says more"
        elif kernel not in _EVERYWHERE:
            if device.type == "cpu":  # seen with torch 2.13: heap corruption, after minutes
                return "what torch compiles of it for a CPU can crash; it is proven on a GPU"
            if self.attention is None:
                return f"compiles for minutes; ask for it by --attn-implementation {kernel}"
        return None


def _absent() -> dict[str, str]:
    """Models that this transformers does not have, or not in working order, and why."""
    early = {c: f"needs transformers {v}" for c, v in SINCE.items() if release(v) > _INSTALLED}
    late = {c: v for c, v in LAST_SOUND.items() if release(v) < _INSTALLED}
    return early | {c: f"fails after transformers {v}" for c, v in late.items()}


def _takes_entry(case: str) -> bool:
    """Whether the family can drop at layer 0; a model that is not here says so elsewhere."""
    try:
        return get_case(case).entry is not None
    except ImportError:
        return False


def is_flash(kernel: str) -> bool:
    """Whether it takes sequences told by lengths, and no float32."""
    return kernel.startswith("flash")


def _installed(kernel: str) -> bool:
    """Asked of transformers, which would get some kernels from the Hub instead."""
    name = kernel.replace("flash_attention", "flash_attn")
    check = getattr(import_utils, f"is_{name}_available", None)
    return check is not None and bool(check())


def holds(proofs: list[Proof]) -> bool:
    """Whether something was proven, and nothing was disproven."""
    answers = {proof.ok for proof in proofs}
    return True in answers and False not in answers
