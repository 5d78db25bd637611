"""How to load a model: options alone, checked before torch is imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import UsageError, without_docstrings
from v2drop_cli.models.bits import Bits
from v2drop_cli.models.names import resolve
from v2drop_cli.models.registry import ATTENTION, DTYPES, check_choice
from v2drop_cli.processes import Processes

if TYPE_CHECKING:
    from v2drop_cli.models.synthetic.options import SyntheticInput

WEIGHTS = ("trained", "dummy")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Options of :func:`v2drop_cli.load`.

    Attributes:
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``: the checkpoint's on a GPU, float32 on a CPU; or a torch name.
        weights: ``trained``, or ``dummy``: the architecture with random weights, no download.
        attn_implementation: as in transformers; ``None`` for its choice.
        revision: branch, tag or commit on the Hub.
        trust_remote_code: run code that comes with a Hub model.
        allow_pickle: load ``.bin`` weights; loading a pickle can run code.
        allow_unproven: drop also in a decoder in which nobody has proven dropping.
        seed: of dummy weights.
        tp_plan: ``auto``: split each layer among the processes that were started together, as
            transformers does it.
        device_map: ``auto``: spread the layers over all devices, as accelerate does it.
        synthetic: what to look at instead of media; no processor is loaded then. For dummy
            weights only.
        fake_quant: ``w4a4``: the decoder computes as if its weights and activations had so many
            bits, simulated; ``None`` for the numbers as they are.
        accepts: called with the model's configuration before its weights are read, to raise for a
            model that whoever loads it could not use.
    """

    device: str = "auto"
    dtype: str = "auto"
    weights: str = "trained"
    attn_implementation: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    allow_unproven: bool = False
    seed: int = 0
    tp_plan: str | None = None
    device_map: str | None = None
    synthetic: SyntheticInput | None = None
    fake_quant: str | None = None
    accepts: Callable[[Any], None] | None = None

    def check(self, model: str) -> None:
        """Raise a :class:`~v2drop_cli.errors.UsageError` for names that mean nothing."""
        if sys.flags.optimize > 1:
            raise without_docstrings()
        resolve(model)
        check_choice("weights", self.weights, WEIGHTS)
        check_choice("dtype", self.dtype, DTYPES)
        if self.fake_quant is not None:
            Bits.parse(self.fake_quant)
        if self.synthetic is not None and self.weights != "dummy":
            raise UsageError(
                f"synthetic input for {self.weights} weights: their answers would look real",
                hint="--weights dummy, or give --image FILE or --video FILE",
            )
        if self.attn_implementation is not None:
            check_choice("attention implementation", self.attn_implementation, ATTENTION)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"unknown device {self.device!r}", hint="auto, cpu, cuda or cuda:N")
        if self.tp_plan is not None:
            check_choice("tensor-parallel plan", self.tp_plan, ("auto",))
            self._check_large("--tp-plan")
            if not Processes.here().several:
                raise UsageError(
                    "--tp-plan splits a model among several processes, and this is the only one",
                    hint="torchrun --nproc_per_node N -m v2drop_cli …, N GPUs",
                )
        if self.device_map is not None:
            check_choice("device map", self.device_map, ("auto",))
            self._check_large("--device-map")

    def _check_large(self, option: str) -> None:
        """Refuse what does not go with a model that is in several places."""
        apart = {
            "both --tp-plan and --device-map": None not in (self.tp_plan, self.device_map),
            "--weights dummy, which are made in one piece": self.weights != "trained",
            "--fake-quant, which looks at whole weights": self.fake_quant is not None,
            f"--device {self.device}: it takes all": ":" in self.device
            or (self.device_map is not None and self.device != "auto"),
        }
        for what, is_so in apart.items():
            if is_so:
                raise UsageError(f"{option} with {what}", hint="leave one of them out")
