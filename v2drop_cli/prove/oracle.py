"""The masked oracle: the dense model with dropped tokens masked from their layer on.

Nothing is removed: every token keeps its place, its position and its cache entry; the dropped ones
are simply never attended to at and after their drop layer. Physical dropping must give the same
numbers. Layers that fold tokens into a state have nothing to mask: they are called by hand on what
is left, see :mod:`~v2drop_cli.prove.shortened`. Written from the definition with plain Python and
the models of transformers; a contract in ``pyproject.toml`` keeps it from importing anything that
it judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM

from v2drop_cli.prove.shortened import Shortened, folds, pools

Dropped = Mapping[int, Sequence[set[int]]]  # layer → per row, columns gone from that layer on
Layers = Sequence[torch.nn.Module]
Stage = tuple[int, float | int]  # a drop layer, and the share or the count of tokens that it keeps

# What models and their layers call the KV cache; transformers 5.24 renamed it.
CACHE = "cache" if "cache" in signature(LlamaForCausalLM.forward).parameters else "past_key_values"


@contextmanager
def masked(layers: Layers, padding: Tensor, dropped: Dropped) -> Iterator[None]:
    """Mask ``dropped`` from their layer on. All else is the model's own mask of the dense forward.

    Args:
        layers: the decoder's blocks, in eager or sdpa attention.
        padding: ``[B, at least all columns]``, 1 for tokens, 0 for padding.
        dropped: what to mask.
    """
    begun: dict[str, int] = {}  # the columns of the running forward, and of those before it

    def hook(index: int) -> Callable[..., Any]:
        def pre(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            hidden, cache = args[0], kwargs.get(CACHE)
            batch, n = _by_token(module, hidden).shape[:2]
            if not _borrows(module):  # a layer that does may be given the last columns only
                begun.update(past=_held(cache, index), width=n)
            past, width = begun["past"], begun["width"]
            keys = padding.bool().clone()
            for layer, rows in dropped.items():
                for b, gone in enumerate(rows if layer <= index else []):
                    keys[b, list(gone)] = False
            keys = keys[:, : past + width]
            dense = _dense(kwargs["attention_mask"], past + width, n).to(hidden.device)
            shown = dense.shape[-1]  # a sliding window's cache shows the last columns only
            allowed = dense & _shown(keys, shown, cache, index)[:, None]
            mask = hidden.new_zeros(batch, 1, n, shown)
            mask.masked_fill_(~allowed[:, None], torch.finfo(mask.dtype).min)
            changed = {"attention_mask": mask, **_handed_choice(module, kwargs, mask)}
            return args, {**kwargs, **changed}

        return pre

    by_hand = Shortened(layers, padding, dropped, CACHE)
    handles = []
    for i, layer in enumerate(layers):
        if folds(layer) or pools(layer):
            layer.forward = by_hand.forward(i, layer)
        else:
            handles.append(layer.register_forward_pre_hook(hook(i), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer in layers:
            vars(layer).pop("forward", None)


def _held(cache: Any, index: int) -> int:
    """Columns in a layer's cache; none for a layer that looks at one token at a time."""
    layers = [] if cache is None else cache.layers[index : index + 1]
    return sum(int(held.get_seq_length()) for held in layers if hasattr(held, "get_seq_length"))


def _shown(keys: Tensor, shown: int, cache: Any, index: int) -> Tensor:
    """The last ``shown`` columns; behind the prompt, where a window is on the answer alone."""
    layers = [] if cache is None else cache.layers[index : index + 1]
    prompt = sum(int(getattr(held, "prefill_cumulative_length", 0)) for held in layers)
    if prompt == 0:
        return keys[:, -shown:]
    return torch.cat([keys[:, :prompt], keys[:, keys.shape[1] - (shown - prompt) :]], dim=1)


def _borrows(layer: Any) -> bool:
    """Whether it attends to keys of an earlier layer, as the last ones of Gemma 4 E2B do."""
    return bool(getattr(getattr(layer, "self_attn", None), "is_kv_shared_layer", False))


# What a layer chose to attend to, as the next one is handed it.
CHOICE = "prev_topk_indices"


def _handed_choice(module: Any, kwargs: Mapping[str, Any], mask: Tensor) -> dict[str, Tensor]:
    """What is left to a layer without an index of an earlier one's choice; itself, if nothing is.

    Args:
        module: the layer.
        kwargs: what it is handed.
        mask: ``[B, 1, n, past + n]``, 0 for what may be attended to.
    """
    handed = kwargs.get(CHOICE)
    if handed is None or getattr(module.self_attn, "indexer", None) is not None:
        return {}
    past = mask.shape[-1] - mask.shape[-2]
    made, seen = handed.tolist(), (mask[:, 0] == 0).tolist()
    for b, rows in enumerate(made):
        for q, chosen in enumerate(rows):
            left = [i for i in chosen if seen[b][q][i]] or [past + q]
            rows[q] = (left * len(chosen))[: len(chosen)]
    return {CHOICE: handed.new_tensor(made)}


def _dense(mask: Tensor | None, total: int, n: int) -> Tensor:
    """``[B or 1, n, total]``: who attends to whom, from whatever the model gives its layers.

    The queries are the last ``n`` of ``total`` columns.
    """
    if mask is None:
        columns = torch.arange(total)
        return (columns <= columns[-n:, None])[None]
    return (mask if mask.dtype == torch.bool else mask == 0)[:, 0]


def states(
    layers: Layers, model: Any, inputs: Mapping[str, Tensor], dropped: Dropped
) -> list[Tensor]:
    """What enters each layer, ``[B, Q, D]`` each, under the masks so far."""
    seen: list[Tensor] = []
    handles = [
        layer.register_forward_pre_hook(lambda m, args: seen.append(_whole(m, args[0])))
        for layer in layers
    ]
    try:
        with masked(layers, inputs["attention_mask"], dropped), torch.no_grad():
            model(**inputs, position_ids=positions(model, inputs))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _by_token(layer: Any, hidden: Tensor) -> Tensor:
    """``[B, Q, ...]``: Gemma 3n hands on four states of each token, ``[4, B, Q, D]``."""
    return hidden.permute(1, 2, 0, 3) if hasattr(layer, "altup") else hidden


def _whole(layer: Any, hidden: Tensor) -> Tensor:
    """``[B, Q, D]``; several states of a token are one behind the other."""
    return _by_token(layer, hidden).flatten(2).clone()


def scores(
    seen: Sequence[Tensor], layer: int, alive: Sequence[Sequence[int]]
) -> list[dict[int, float]]:
    """Per row, how far the layer before ``layer`` moved each token that is alive (V2Drop, §3)."""
    now, before = seen[layer].tolist(), seen[layer - 1].tolist()
    return [{i: l2(now[b][i], before[b][i]) for i in tokens} for b, tokens in enumerate(alive)]


def l2(now: Sequence[float], before: Sequence[float]) -> float:
    """The distance of two hidden states of one token."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(now, before, strict=True)))


def count(alive: int, keep: float | int) -> int:
    """How many of ``alive`` tokens a drop keeps: a share is cut off, a count is a bound."""
    return min(alive, keep) if isinstance(keep, int) else int(alive * keep)


def evenly(alive: Sequence[int], keep: int) -> list[int]:
    """The middles of ``keep`` equal stretches of ``alive``: what ``uniform`` keeps."""
    return [alive[(2 * i + 1) * len(alive) // (2 * keep)] for i in range(keep)]


def define(
    case: Any, model: Any, inputs: Mapping[str, Tensor], vision: Sequence[Sequence[int]]
) -> tuple[dict[int, list[set[int]]], dict[int, list[list[int]]]]:
    """Drop by drop, in plain Python, what V2Drop drops and keeps."""
    dropped: dict[int, list[set[int]]] = {}
    kept: dict[int, list[list[int]]] = {}
    alive: Sequence[Sequence[int]] = vision
    for layer, keep in case.drops:
        found = scores(states(case.layers(model), model, inputs, dropped), layer, alive)
        ranked = [sorted(row, key=lambda i, row=row: (-row[i], i)) for row in found]  # type: ignore[misc]
        cuts = [count(len(row), keep) for row in ranked]
        kept[layer] = [sorted(row[:k]) for row, k in zip(ranked, cuts, strict=True)]
        dropped[layer] = [set(row[k:]) for row, k in zip(ranked, cuts, strict=True)]
        alive = kept[layer]
    return dropped, kept


def positions(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Position ids as ``generate`` makes them: one axis, or text and three of M-RoPE."""
    others = {name: tensor for name, tensor in inputs.items() if name != "input_ids"}
    at: Tensor = model._prepare_position_ids_for_generation(inputs["input_ids"], others)
    return at


def decode(
    model: Any,
    inputs: Mapping[str, Tensor],
    steps: int,
    tokens: Sequence[Tensor] | None = None,
    placed: bool = True,
) -> tuple[list[Tensor], list[Tensor]]:
    """Prefill and ``steps`` decode steps: all logits, and the tokens fed. Padding on the left.

    Unless ``placed``, the model is told no positions and no mask of later tokens: it counts by the
    length of its cache. For a batch without padding.
    """
    cache = DynamicCache(config=model.config)
    at, mask = positions(model, inputs), inputs["attention_mask"]
    with torch.no_grad():
        told = {"position_ids": at} if placed else {}
        out = model(**inputs, **told, **{CACHE: cache}, use_cache=True)
        logits: list[Tensor] = [out.logits]
        fed: list[Tensor] = []
        for step in range(steps):
            token = logits[-1][:, -1].argmax(-1) if tokens is None else tokens[step]
            fed.append(token)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            at = at[..., -1:] + 1
            told = {"attention_mask": mask, "position_ids": at} if placed else {}
            out = model(input_ids=token[:, None], **told, **{CACHE: cache}, use_cache=True)
            logits.append(out.logits)
    return logits, fed
