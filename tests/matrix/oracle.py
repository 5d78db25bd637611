"""The masked oracle for any family: see `tests/oracle.py`; positions are the model's own."""

from __future__ import annotations

from contextlib import contextmanager

import torch
from transformers import DynamicCache

from tests.oracle import l2
from tests.release import CACHE


@contextmanager
def masked(layers, padding: torch.Tensor, dropped: dict[int, list[set[int]]]):
    """Mask `dropped` from their layer on; `padding` covers at least all columns, 1 for tokens.

    Everything else is the model's own mask of the dense forward.
    """

    def hook(index):
        def pre(module, args, kwargs):
            cache = kwargs.get(CACHE)
            past = cache.get_seq_length(index) if cache is not None else 0
            batch, n = args[0].shape[:2]
            keys = padding[:, : past + n].bool().clone()
            for layer, rows in dropped.items():
                for b, gone in enumerate(rows if layer <= index else []):
                    keys[b, list(gone)] = False
            allowed = dense(kwargs["attention_mask"], past, n) & keys[:, None]
            mask = torch.zeros(batch, 1, n, past + n)
            mask.masked_fill_(~allowed[:, None], torch.finfo(torch.float32).min)
            return args, {**kwargs, "attention_mask": mask}

        return pre

    handles = [
        layer.register_forward_pre_hook(hook(i), with_kwargs=True) for i, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def dense(mask, past, n):
    """`[B or 1, n, past + n]`: who may attend to whom, from whatever the model gives its layers."""
    if mask is None:
        return (torch.arange(past + n) <= past + torch.arange(n)[:, None])[None]
    return (mask if mask.dtype == torch.bool else mask == 0)[:, 0]


def states(layers, model, inputs, dropped):
    """What enters each layer, `[B, Q, D]` each, under the masks so far."""
    seen = []
    handles = [
        layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
        for layer in layers
    ]
    try:
        with masked(layers, inputs["attention_mask"], dropped), torch.no_grad():
            model(**inputs, position_ids=positions(model, inputs))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def define(case, model, inputs, vision):
    """Stage by stage, in plain Python, what V2Drop drops and keeps."""
    dropped, kept, alive = {}, {}, vision
    for layer, keep in case.stages:
        seen = states(case.layers(model), model, inputs, dropped)
        gone, stays = [], []
        for b, tokens in enumerate(alive):
            now, before = seen[layer][b].tolist(), seen[layer - 1][b].tolist()
            k = min(len(tokens), keep) if isinstance(keep, int) else int(len(tokens) * keep)
            ranked = sorted(tokens, key=lambda i: (-l2(now[i], before[i]), i))
            stays.append(sorted(ranked[:k]))
            gone.append(set(ranked[k:]))
        dropped[layer], kept[layer], alive = gone, stays, stays
    return dropped, kept


def positions(model, inputs):
    """Position ids as `generate` makes them: one axis, or text and three of M-RoPE."""
    others = {name: tensor for name, tensor in inputs.items() if name != "input_ids"}
    return model._prepare_position_ids_for_generation(inputs["input_ids"], others)


def decode(model, inputs, steps, tokens=None):
    """Prefill and `steps` decode steps: all logits, and the tokens fed. Padding on the left."""
    cache = DynamicCache(config=model.config)
    at, mask = positions(model, inputs), inputs["attention_mask"]
    with torch.no_grad():
        out = model(**inputs, position_ids=at, **{CACHE: cache}, use_cache=True)
        logits, fed = [out.logits], []
        for step in range(steps):
            token = logits[-1][:, -1].argmax(-1) if tokens is None else tokens[step]
            fed.append(token)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            at = at[..., -1:] + 1
            out = model(
                input_ids=token[:, None],
                attention_mask=mask,
                position_ids=at,
                **{CACHE: cache},
                use_cache=True,
            )
            logits.append(out.logits)
    return logits, fed
