"""What layers do that fold tokens into a state: their convolution, their recurrence, their memory.

Counted as the recurrence says it, token by token: what is read of the state and what is written to
it. Code that goes through the sequence in chunks may do more for the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

_FLOAT32_BYTES = 4  # recurrences run in float32, and so their states are kept


@dataclass(frozen=True, slots=True)
class FoldedState:
    """The state of one layer.

    Attributes:
        products: multiply-adds of one token beside the layer's linear maps.
        nbytes: of the states of one row, whatever its length.
    """

    products: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class _Recurrence:
    """Of one layer: multiply-adds of one token with the state, and the numbers of a state."""

    products: int = 0
    numbers: int = 0


def _gated_delta_net(mixer: Any) -> _Recurrence:
    """The state is read by the key and by the query, and written to once: three products."""
    numbers = mixer.num_v_heads * mixer.head_k_dim * mixer.head_v_dim
    return _Recurrence(3 * numbers, numbers)


def _mamba_2(mixer: Any) -> _Recurrence:
    """The state is written to once, and read once: two products."""
    numbers = mixer.num_heads * mixer.head_dim * mixer.ssm_state_size
    return _Recurrence(2 * numbers, numbers)


def _convolution_alone(mixer: Any) -> _Recurrence:
    return _Recurrence()


# Class names of the modules that fold tokens → their recurrence. Others are not counted.
_KNOWN: Mapping[str, Callable[[Any], _Recurrence]] = {
    "Lfm2ShortConv": _convolution_alone,
    "Lfm3ShortConv": _convolution_alone,
    "NemotronHMamba2Mixer": _mamba_2,
    "Qwen3_5GatedDeltaNet": _gated_delta_net,
    "Qwen3_5MoeGatedDeltaNet": _gated_delta_net,
}


# Class names of modules that look at one token at a time, in layers that do nothing else.
_ALONE = frozenset({"NemotronHMLP", "NemotronHMoE"})


def folded_state(layer: Any) -> FoldedState | None:
    """The state of a layer; ``None`` if it attends, or has a state that is not known here.

    A layer that looks at one token at a time has one without numbers.
    """
    if type(getattr(layer, "mixer", None)).__name__ in _ALONE:
        return FoldedState(0, 0)
    for mixer in layer.modules():
        known = _KNOWN.get(type(mixer).__name__)
        if known is None:
            continue
        found = known(mixer)
        (weight,) = [m.weight for m in mixer.modules() if isinstance(m, torch.nn.Conv1d)]
        # One input a channel, and the last tokens that the kernel covers are kept of each.
        convolved = weight.numel()
        nbytes = convolved * weight.element_size() + found.numbers * _FLOAT32_BYTES
        return FoldedState(found.products + convolved, nbytes)
    return None
