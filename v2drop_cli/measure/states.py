"""What layers do that fold tokens into a state: their convolution, their recurrence, their memory.

Counted as the recurrence says it, token by token: what is read of the state and what is written to
it. Code that goes through the sequence in chunks may do more for the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

_ID_BYTES = 8
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
    """Of one module: multiply-adds of one token with the state, and the numbers of a state.

    Attributes:
        products, numbers: just these.
        ids: of the last tokens, which are kept beside it.
    """

    products: int = 0
    numbers: int = 0
    ids: int = 0


def _gated_delta_net(mixer: Any) -> _Recurrence:
    """The state is read by the key and by the query, and written to once: three products."""
    numbers = mixer.num_v_heads * mixer.head_k_dim * mixer.head_v_dim
    return _Recurrence(3 * numbers, numbers)


def _mamba_2(mixer: Any) -> _Recurrence:
    """The state is written to once, and read once: two products."""
    numbers = mixer.num_heads * mixer.head_dim * mixer.ssm_state_size
    return _Recurrence(2 * numbers, numbers)


def _kimi_delta(mixer: Any) -> _Recurrence:
    """As a gated delta net, whose decay is another one for each number of a key."""
    numbers = mixer.num_heads * mixer.head_dim**2
    return _Recurrence(3 * numbers, numbers)


def _ids_in_a_row(mixer: Any) -> _Recurrence:
    """Tokens are looked up by their own id and those before it, and then convolved."""
    return _Recurrence(ids=mixer.ple_embedding.context_len)


def _convolution_alone(mixer: Any) -> _Recurrence:
    return _Recurrence()


# Class names of the modules that fold tokens → their recurrence. Others are not counted.
_KNOWN: Mapping[str, Callable[[Any], _Recurrence]] = {
    "Glm5NextTextLinearAttention": _kimi_delta,
    "Lfm2ShortConv": _convolution_alone,
    "Lfm3ShortConv": _convolution_alone,
    "NemotronHMamba2Mixer": _mamba_2,
    "Qwen3_5GatedDeltaNet": _gated_delta_net,
    "Qwen3_5MoeGatedDeltaNet": _gated_delta_net,
    "Qwen4ExpTextGatedDeltaNet": _gated_delta_net,
    "Qwen4ExpTextPLELayer": _ids_in_a_row,
}


# Class names of modules that look at one token at a time, in layers that do nothing else.
_ALONE = frozenset({"NemotronHMLP", "NemotronHMoE"})


def folded_state(layer: Any) -> FoldedState | None:
    """The state of a layer; ``None`` if it attends, or has a state that is not known here.

    A layer that looks at one token at a time has one without numbers.
    """
    if type(getattr(layer, "mixer", None)).__name__ in _ALONE:
        return FoldedState(0, 0)
    products = nbytes = 0
    for mixer in layer.modules():
        known = _KNOWN.get(type(mixer).__name__)
        if known is None:
            continue
        found = known(mixer)
        (convolution,) = [m for m in mixer.modules() if isinstance(m, torch.nn.Conv1d)]
        weight = convolution.weight
        products += found.products + weight.numel()  # one input a channel
        nbytes += found.numbers * _FLOAT32_BYTES + found.ids * _ID_BYTES
        nbytes += len(weight) * _covered(convolution) * weight.element_size()
    return FoldedState(products, nbytes) if products else None


def _covered(convolution: torch.nn.Conv1d) -> int:
    """How many of the last tokens are kept of each channel: those that the kernel covers.

    Where it leaves gaps between them, the running token is not among them.
    """
    size, step = convolution.kernel_size[0], convolution.dilation[0]
    return size if step == 1 else (size - 1) * step
