"""Greedy generation as a plain loop: one model call a token, nothing that waits in between.

``model.generate`` is for answers; this is for measuring. It yields token tensors without
reading them, so the device is never waited for inside the loop, and leaves out ``generate``'s
per-call set-up, which on a GPU takes as long as a small model's step. For the same reason the
steps can be recorded once and replayed: all that they read is in :class:`Start` and the cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.arguments import cache_name
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.decoders import follows_whole
from v2drop_cli.models.inputs import Inputs


def drop_idle_mask(
    tensors: Mapping[str, Tensor], counts_by_mask: bool = False
) -> dict[str, Tensor]:
    """Leave out an ``attention_mask`` without padding: reading it back every step would wait.

    Call it before the clock starts, because it reads the mask once.

    Args:
        tensors: the processor's.
        counts_by_mask: of the family: such a model's mask is never idle.
    """
    mask = tensors.get("attention_mask")
    idle = mask is not None and not counts_by_mask and bool(mask.all())
    return {name: t for name, t in tensors.items() if not (idle and name == "attention_mask")}


def ready(loaded: LoadedModel, inputs: Inputs) -> dict[str, Tensor]:
    """What a generation is given: on the model's device, without an idle mask."""
    given = inputs.to(loaded.device, loaded.dtype).tensors
    return drop_idle_mask(given, loaded.family.counts_by_mask)


def next_positions(model: Any, tensors: Mapping[str, Tensor], first: int = 0) -> Tensor:
    """Position ids of the first new token, ``[..., B or 1, 1]``: M-RoPE has axes before the batch.

    ``first`` is where the model starts to count.

    Left to themselves, M-RoPE models count on the host at every step, and wait for the copy.
    Call it before the clock starts, because it may read the ids; they may be on the host.
    """
    return _positions(model, tensors)[..., -1:] + 1 + first


@dataclass(frozen=True, slots=True)
class Start:
    """What decoding starts from, beside the cache.

    Attributes:
        token: ``[B]`` the first new token.
        mask: ``[B, L]`` attention mask of the prompt, or ``None`` without padding.
        positions: ``[..., B or 1, 1]`` of that token, or ``None``: the model counts.
    """

    token: Tensor
    mask: Tensor | None
    positions: Tensor | None


def greedy(
    model: Any,
    tensors: Mapping[str, Tensor],
    cache: Any,
    max_new_tokens: int,
    positions: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yield the greedy continuation, one ``[B]`` tensor of token ids a step, never stopping early.

    Args:
        model: a transformers model with a language head.
        tensors: the processor's tensors, ``input_ids [B, L]`` among them. With padding, an
            ``attention_mask [B, L]``, and the padding on the left.
        cache: an empty KV cache; holds prompt and tokens afterwards.
        max_new_tokens: how many tokens to yield.
        positions: what :func:`next_positions` said, so that the model need not count.
    """
    start = prefill(model, tensors, cache, positions)
    yield start.token
    yield from decode(model, start, cache, max_new_tokens - 1)


def prefill(
    model: Any, tensors: Mapping[str, Tensor], cache: Any, positions: Tensor | None = None
) -> Start:
    """Run the prompt; arguments as in :func:`greedy`."""
    logits, mask, positions = _prompt(model, tensors, cache, positions)
    return Start(logits.argmax(-1), mask, positions)


def decode(model: Any, start: Start, cache: Any, steps: int) -> Iterator[Tensor]:
    """Yield ``steps`` more tokens after ``start.token``, which is not yielded again."""
    token, mask, positions = start.token, start.mask, start.positions
    for _ in range(steps):
        logits, mask, positions = _step(model, token[:, None], mask, positions, cache)
        token = logits[:, -1].argmax(-1)
        yield token


def led(
    model: Any,
    tensors: Mapping[str, Tensor],
    cache: Any,
    answer: Tensor,
    positions: Tensor | None = None,
) -> Tensor:
    """Logits ``[B, a, V]`` of the tokens of ``answer [B, a]``, which are given, not chosen.

    The prompt first, then all of the answer in one forward; one token at a time only where the
    decoder takes no other steps behind a prompt. Other arguments as in :func:`greedy`.
    """
    logits, mask, positions = _prompt(model, tensors, cache, positions)
    found, given = [logits[:, None]], answer[:, :-1]
    at_once = max(1, given.shape[1]) if follows_whole(model.config) else 1
    for tokens in torch.split(given, at_once, dim=1) if given.shape[1] else ():
        if positions is not None:
            positions = positions + torch.arange(tokens.shape[1], device=positions.device)
        logits, mask, positions = _step(model, tokens, mask, positions, cache)
        found.append(logits)
    return torch.cat(found, dim=1)


_Went = tuple[Tensor, Tensor | None, Tensor | None]
"""Logits, the mask so far, and the next token's positions."""


def _prompt(
    model: Any, tensors: Mapping[str, Tensor], cache: Any, positions: Tensor | None
) -> _Went:
    """Run the prompt; logits ``[B, V]`` of the first new token."""
    mask, explicit = tensors.get("attention_mask"), {}
    if mask is not None:
        # With padding, positions count tokens, not columns; the model knows how many axes (M-RoPE
        # has three). Without, it makes them itself.
        explicit = {"position_ids": _positions(model, tensors)}
        positions = explicit["position_ids"][..., -1:] + 1
    with torch.no_grad():
        out = model(
            **tensors, **explicit, **{cache_name(model): cache}, use_cache=True, logits_to_keep=1
        )
        return out.logits[:, -1], mask, positions


def _step(
    model: Any, tokens: Tensor, mask: Tensor | None, positions: Tensor | None, cache: Any
) -> _Went:
    """``tokens [B, n]`` behind what the cache holds; logits ``[B, n, V]``."""
    step: dict[str, Tensor] = {}
    with torch.no_grad():
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(tokens.shape)], dim=1)
            step["attention_mask"] = mask
        if positions is not None:
            step["position_ids"] = positions
            positions = positions[..., -1:] + 1
        out = model(
            input_ids=tokens,
            **step,
            **{cache_name(model): cache},
            use_cache=True,
            logits_to_keep=tokens.shape[1],
        )
        return out.logits, mask, positions


def _positions(model: Any, tensors: Mapping[str, Tensor]) -> Tensor:
    """Position ids of the whole prompt, as ``generate`` makes them."""
    others = {name: tensor for name, tensor in tensors.items() if name != "input_ids"}
    found: Tensor = model._prepare_position_ids_for_generation(tensors["input_ids"], others)
    return found
