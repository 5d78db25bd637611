"""How far a fit has come, on disk, so that it can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError

_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, eq=False, slots=True)
class Progress:
    """A fit after some steps.

    Attributes:
        step: how many were made.
        weights: by name.
        moments: the optimiser's running means of each weight, ``name.exp_avg`` and so on.
    """

    step: int
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, step: int, weights: Mapping[str, Tensor], optimizer: Any) -> Progress:
        """What there is after ``step`` steps of AdamW."""
        moments = {
            f"{name}.{moment}": optimizer.state[weight][moment].detach().cpu().clone()
            for name, weight in weights.items()
            for moment in _MOMENTS
        }
        found = {name: weight.detach().cpu().clone() for name, weight in weights.items()}
        return cls(step, found, moments)

    def restore(self, optimizer: Any) -> None:
        """Give AdamW, which has made no step yet, its running means back."""
        if not self.moments:
            return
        [group] = optimizer.param_groups
        for name, weight in zip(self.weights, group["params"], strict=True):
            optimizer.state[weight] = {
                "step": torch.tensor(float(self.step)),
                **{m: self.moments[f"{name}.{m}"].to(weight.device).clone() for m in _MOMENTS},
            }

    def save(self, path: Path, made_with: Mapping[str, Any]) -> None:
        """Replace ``path`` in one step; ``made_with`` are the settings, for :func:`resume`."""
        from safetensors.torch import save

        tensors = {**self.weights, **self.moments}
        about = {"step": str(self.step), "made_with": json.dumps(made_with, sort_keys=True)}
        part = path.with_name(path.name + ".part")
        part.write_bytes(save({k: t.contiguous() for k, t in tensors.items()}, about))
        part.replace(path)


def resume(path: Path, made_with: Mapping[str, Any]) -> Progress | None:
    """What ``path`` holds, or ``None`` where there is no such file.

    Raises:
        UsageError: it was made with other settings, or is no such file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    hint = f"remove {path} to begin again"
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} cannot be read: {error}", hint=hint) from None
    if about.get("made_with") != json.dumps(made_with, sort_keys=True):
        raise UsageError(f"{path} is of a fit with other settings", hint=hint)
    weights = {name: tensor for name, tensor in tensors.items() if "." not in name}
    moments = {name: tensor for name, tensor in tensors.items() if "." in name}
    return Progress(int(about["step"]), weights, moments)
