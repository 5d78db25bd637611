"""Prompts of different lengths as the rows of one batch: shorter ones are padded on the left."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.inputs import Inputs, VisionTokens


def kind(loaded: LoadedModel, inputs: Inputs) -> Hashable:
    """Prompts of one kind can be rows of one batch: their pixels have the same shape.

    Each prompt is of its own kind where a row depends on its neighbours.
    """
    if loaded.family.numbers_rows:
        return id(inputs)
    found: list[Hashable] = []
    for name, tensor in sorted(inputs.tensors.items()):
        if not isinstance(tensor, Tensor):  # a list of pictures, of any sizes
            found.append(name)
        elif not _along_the_prompt(inputs, tensor):
            shape = tensor.shape[:-1] if name in inputs.packed else tensor.shape[1:]
            found.append((name, tensor.dtype, tuple(shape)))
    return tuple(found)


def batch(loaded: LoadedModel, prompts: Sequence[Inputs]) -> Inputs:
    """The prompts, all of one :func:`kind`, as rows; one alone is left as it is."""
    if len(prompts) == 1:
        return prompts[0]
    longest = max(_length(prompt) for prompt in prompts)
    pad = _padding(loaded)
    return Inputs.batch([_padded(prompt, longest, pad) for prompt in prompts])


def _padded(prompt: Inputs, length: int, pad: int) -> Inputs:
    """With ``pad`` on the left, hidden by the mask; what marks tokens marks it as text."""
    fill = length - _length(prompt)
    ids = prompt.tensors["input_ids"]
    tensors = dict(prompt.tensors)
    tensors.setdefault("attention_mask", torch.ones_like(ids))
    for name, tensor in tensors.items():
        if _along_the_prompt(prompt, tensor):
            filler = tensor.new_full((1, fill), pad if name == "input_ids" else 0)
            tensors[name] = torch.cat([filler, tensor], dim=1)
    index = tuple(row + fill for row in prompt.vision.index)
    return Inputs(tensors, VisionTokens(index, prompt.vision.grids), prompt.caveats, prompt.packed)


def _along_the_prompt(prompt: Inputs, tensor: Any) -> bool:
    """Whether it has one value for each token."""
    return isinstance(tensor, Tensor) and tensor.shape == (1, _length(prompt))


def _length(prompt: Inputs) -> int:
    return int(prompt.tensors["input_ids"].shape[1])


def _padding(loaded: LoadedModel) -> int:
    """The id that pads. Any would do, for the mask hides it, but not one that stands for pixels."""
    tokenizer: Any = getattr(loaded.processor, "tokenizer", None)
    known = getattr(tokenizer, "pad_token_id", None)
    end = getattr(tokenizer, "eos_token_id", None)
    return next((int(one) for one in (known, end) if one is not None), 0)
