"""Does dropping give here what the masked oracle gives? One answer per model, dtype and kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases import get_case
from v2drop_cli.prove.cases.case import Case, schedule_text
from v2drop_cli.prove.reference import Kept, Loss, Reference, undisturbed

# What may be lost whatever dense loses, by dtype. Float32 is summed in more orders on a GPU.
FLOORS = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
_FLOOR_FLOAT32_GPU = 1e-3
# Where is dropped: by V2Drop at later layers, or evenly from the decoder's input on, at layer 0.
LAYERS, ENTRY = "layers", "entry"


@dataclass(frozen=True, slots=True)
class Cell:
    """What one proof is of.

    Attributes:
        family: as registered.
        case: the tiny model, which is the family's or a variant's.
        device: as torch names it.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        attention: as transformers names it.
        prompts: the batch: ``image`` is one row, ``ragged`` are four of different lengths.
        drops: ``layers``, or ``entry`` for a schedule that begins at layer 0. The model then
            counts the positions of ``image`` by itself, as it does for whoever gives it none.
    """

    family: str | None
    case: str | None
    device: str
    dtype: str | None
    attention: str | None
    prompts: str | None
    drops: str = field(default=LAYERS, kw_only=True)


@dataclass(frozen=True, slots=True)
class Proof(Cell):
    """One answer. Errors are the largest difference of logits, as a share of their deviation.

    Attributes:
        ok: it holds, it does not, or ``None`` where there is nothing to prove.
        dropped_error: dropping in this dtype and kernel, against the oracle in float32.
        dense_error: the dense model in this dtype and kernel, against itself in float32.
        allowed: how large the first may be.
        dropped_rms, dense_rms, allowed_rms: the same of the root mean square, in which a fault
            that moves all logits a little shows better.
        masked_change: what masking does to the dense model: how large the first would be if
            nothing were dropped.
        reason: why it does not hold, or why there is nothing to prove.
    """

    ok: bool | None = None
    dropped_error: float | None = None
    dense_error: float | None = None
    allowed: float | None = None
    dropped_rms: float | None = None
    dense_rms: float | None = None
    allowed_rms: float | None = None
    masked_change: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Prover:
    """Answers for one device. What several answers need is made once."""

    device: torch.device
    _models: dict[tuple[str, str, str, bool], Any] = field(default_factory=dict)
    _references: dict[tuple[str, str, bool, bool], Reference] = field(default_factory=dict)

    def prove(self, cell: Cell) -> Proof:
        """One answer; an exception is an answer too."""
        assert cell.case is not None
        assert cell.dtype is not None
        assert cell.attention is not None
        try:
            with undisturbed():
                return self._proof(cell, cell.case, cell.dtype, cell.attention)
        except _NothingToProve as why:
            return _answer(cell, None, reason=str(why))
        except Exception as error:  # of a kernel, a driver, transformers: it does not hold
            return _answer(cell, False, reason=_first_line(error))

    def _proof(self, cell: Cell, name: str, dtype: str, attention: str) -> Proof:
        case = get_case(name)
        smooth = dtype != "float32"
        placed = cell.drops != ENTRY or cell.prompts != "image"
        reference = self._reference(case, str(cell.prompts), smooth, placed)
        model = self._subject(case, dtype, attention)
        twin = self._model(case, dtype, "eager", smooth)
        floor = self.floor(dtype)
        if cell.drops == ENTRY:
            return _answer(cell, **_compared(reference, model, floor, _Even(reference)))
        return _answer(cell, **_compared(reference, model, floor, _Moved(reference, twin)))

    def floor(self, dtype: str) -> float:
        """What may be lost on this device, whatever dense loses."""
        on_gpu = self.device.type != "cpu" and dtype == "float32"
        return _FLOOR_FLOAT32_GPU if on_gpu else FLOORS[dtype]

    def _model(self, case: Case, dtype: str, attention: str, smooth: bool) -> Any:
        smooth = smooth and bool(case.smooth)
        key = (case.name, dtype, attention, smooth)
        if key not in self._models:
            made = case.make(attention, smooth).to(self.device)
            self._models[key] = _in_dtype(made, getattr(torch, dtype))
        return self._models[key]

    def _subject(self, case: Case, dtype: str, attention: str) -> Any:
        """The model to drop in; nothing is to prove where it cannot be had."""
        try:
            model = self._model(case, dtype, attention, smooth=dtype != "float32")
        except (ImportError, ValueError) as error:  # transformers has no such kernel for it
            if attention == "eager":
                raise
            raise _NothingToProve(_first_line(error)) from error
        try:
            family_for(model.config)
        except UnsupportedModelError as error:
            raise _NothingToProve(error.message) from error
        return model

    def _reference(self, case: Case, prompts: str, smooth: bool, placed: bool) -> Reference:
        smooth = smooth and bool(case.smooth)
        key = (case.name, prompts, smooth, placed)
        if key not in self._references:
            exact = self._model(case, "float32", "eager", smooth)
            self._references[key] = Reference.of(case, exact, self.device, prompts, placed)
        return self._references[key]


def _in_dtype(model: Any, dtype: torch.dtype) -> Any:
    """``model`` with its numbers in ``dtype``; complex tables stay, as in a model that is loaded.

    ``Module.to`` would cut off their imaginary parts, and thereby Llama 4's rotary encoding.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return model


class _NothingToProve(Exception):  # noqa: N818 - no error: an answer
    pass


@dataclass(frozen=True, slots=True)
class _Moved:
    """V2Drop at the case's layers; ``twin`` is the model in its dtype and eager attention."""

    reference: Reference
    twin: Any
    method: ClassVar[str] = "v2drop"

    @property
    def schedule(self) -> str:
        return self.reference.case.schedule

    def wrong(self, kept: Kept) -> str | None:
        return self.reference.misjudged(self.twin, kept)


@dataclass(frozen=True, slots=True)
class _Even:
    """Evenly spaced tokens, from layer 0 on."""

    reference: Reference
    method: ClassVar[str] = "uniform"

    @property
    def schedule(self) -> str:
        return schedule_text(self.reference.case.entry or ())

    def wrong(self, kept: Kept) -> str | None:
        return self.reference.uneven(kept)


def _compared(
    reference: Reference, model: Any, floor: float, choice: _Moved | _Even
) -> dict[str, Any]:
    """What a :class:`Proof` says of ``model``."""
    try:
        dense = reference.decode(model)
    except Exception as problem:
        raise _NothingToProve(f"dense does not run: {_first_line(problem)}") from problem
    try:
        with dropping(model, choice.schedule, method=choice.method) as trace:
            dropped = reference.decode(model)
    except UnsupportedModelError as refused:  # by name, as of a kernel that cannot know
        raise _NothingToProve(refused.message) from refused
    kept: Kept = {event.layer: event.kept for event in trace.events}
    gone = reference.gone(kept)
    wanted, survivors = reference.masked(gone), reference.survivors(gone)
    lost = Loss.of(dense, reference.dense, reference.inputs["attention_mask"].bool())
    off = Loss.of(dropped, wanted, survivors)
    change = Loss.of(reference.dense, wanted, survivors)
    allowed = lost.allowed(floor)
    reason = _verdict(off, allowed, change) or choice.wrong(kept)
    return {
        "ok": reason is None,
        "dropped_error": _finite(off.largest),
        "dense_error": _finite(lost.largest),
        "allowed": _finite(allowed.largest),
        "dropped_rms": _finite(off.typical),
        "dense_rms": _finite(lost.typical),
        "allowed_rms": _finite(allowed.typical),
        "masked_change": _finite(change.largest),
        "reason": reason,
    }


def _verdict(off: Loss, allowed: Loss, change: Loss) -> str | None:
    """Why it does not hold, or ``None``."""
    numbers = (off.largest, off.typical, allowed.largest, allowed.typical, change.largest)
    if not all(map(math.isfinite, numbers)):
        return "logits are not finite"
    if off.largest > allowed.largest or off.typical > allowed.typical:
        return "dropping is not what masking gives"
    if change.largest <= allowed.largest:
        return "masking changes no more than may be lost, so this proves nothing"
    return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _answer(cell: Cell, ok: bool | None, **found: Any) -> Proof:
    return Proof(
        cell.family,
        cell.case,
        cell.device,
        cell.dtype,
        cell.attention,
        cell.prompts,
        drops=cell.drops,
        ok=ok,
        **found,
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
