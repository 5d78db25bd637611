"""A decoder that computes with numbers of few bits, simulated: rounded, and kept as they were.

Every linear layer inside the decoder's blocks multiplies rounded activations with rounded weights,
in the model's own dtype and kernels. So answers are those of a quantised model, and times and
memory are not. Embeddings, norms, the language head, the vision tower and the projector stay.

Both are rounded symmetrically, with no number beyond the grid: a group of numbers that lie up to m
from 0 is told in steps of ``m / (2^(bits-1) - 1)``. A group is 128 weights of one output, along
the input (the last one may be shorter), and all activations that a linear layer is given of one
token, so that a token's result depends on no other token. No paper fixes these choices: they are
our setting.

A layer is not changed but replaced by one that stands in its place, and put back on leaving: the
model is then made of the same modules and tensors as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.base import Family
from v2drop_cli.models.bits import UNTOUCHED, Bits

GROUP = 128

Place = tuple[nn.Module, str]
"""A module, and the name of one that it holds."""


@contextmanager
def fake_quantized(model: nn.Module, family: Family, bits: Bits) -> Iterator[None]:
    """Fake-quantise the decoder of ``model`` for the duration; see :func:`fake_quantize`."""
    before = [(place, getattr(*place)) for place in _linears(family.layers(model))]
    fake_quantize(model, family, bits)
    try:
        yield
    finally:
        for (parent, name), linear in before:
            setattr(parent, name, linear)


def fake_quantize(model: nn.Module, family: Family, bits: Bits) -> None:
    """Fake-quantise the decoder of ``model`` for good, one layer at a time: the old ones are gone.

    Raises:
        UnsupportedModelError: a block holds weights that are in no linear layer, or are quantised.
    """
    for parent, name in _linears(family.layers(model)):
        setattr(parent, name, FakeQuantLinear(getattr(parent, name), bits))


def _linears(blocks: Sequence[nn.Module]) -> list[Place]:
    """Where the linear layers of ``blocks`` are, if nothing else in them multiplies."""
    modules = [module for block in blocks for module in block.modules()]
    for module in modules:
        if not _is_plain(module) and any(w.dim() > 1 for w in module.parameters(recurse=False)):
            raise UnsupportedModelError(
                f"the decoder holds weights in a {type(module).__name__}, and only those of plain "
                "linear layers are fake-quantised",
                hint="leave out --fake-quant, or take a model without experts whose weights are "
                "not quantised yet",
            )
    return [
        (parent, name)
        for parent in modules
        for name, child in parent.named_children()
        if _is_plain(child)
    ]


def _is_plain(module: nn.Module) -> bool:
    """Whether it is a linear layer of numbers: those of quantised weights are subclasses of it."""
    return type(module) is nn.Linear and module.weight.is_floating_point()


class FakeQuantLinear(nn.Linear):
    """A linear layer whose weights are rounded once, and whose input is rounded at each call."""

    def __init__(self, linear: nn.Linear, bits: Bits) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach()
        rounded = weight if bits.weights == UNTOUCHED else rounded_weight(weight, bits.weights)
        self.weight = nn.Parameter(rounded, requires_grad=False)
        self.bias = linear.bias
        self.bits = bits
        self.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch calls it so
        """The layer's output for the rounded input."""
        bits = self.bits.activations
        rounded = input if bits == UNTOUCHED else on_grid(input, bits)
        return nn.functional.linear(rounded, self.weight, self.bias)

    def extra_repr(self) -> str:
        """As of any linear layer, and the bits."""
        return f"{super().extra_repr()}, {self.bits}"


def rounded_weight(weight: Tensor, bits: int) -> Tensor:
    """``[out, in]``, each group of 128 inputs of an output rounded to a grid of its own."""
    parts = torch.split(weight, GROUP, dim=1)
    return torch.cat([on_grid(part, bits) for part in parts], dim=1)


def on_grid(values: Tensor, bits: int) -> Tensor:
    """``values`` rounded along the last dimension to ``2^bits - 1`` even steps about 0.

    >>> on_grid(torch.tensor([7.0, 3.4, -0.6, 0.0]), bits=4).tolist()
    [7.0, 3.0, -1.0, 0.0]
    >>> on_grid(torch.zeros(2), bits=4).tolist()
    [0.0, 0.0]
    """
    most = 2 ** (bits - 1) - 1
    exact = values.float()
    step = exact.abs().amax(dim=-1, keepdim=True) / most
    # A group of zeros has no step, and stays zeros.
    rounded: Tensor = (exact / torch.where(step > 0, step, 1.0)).round() * step
    return rounded.to(values.dtype)
