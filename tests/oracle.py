"""The masked oracle: the dense model with dropped tokens masked from a layer on.

Nothing is removed: every token keeps its place, its position and its cache entry; the dropped
ones are simply never attended to at and after their drop layer. Physical dropping must give
the same numbers. Written from the definition, sharing no code with the package.
"""

from __future__ import annotations

import math
from contextlib import contextmanager

import torch

from tests.release import CACHE
from tests.tiny_llava import IMAGE

Dropped = dict[int, list[set[int]]]  # layer → per row, positions gone from that layer on


@contextmanager
def masked(model, padding: torch.Tensor, dropped: Dropped):
    """Mask `dropped` inside `model`; `padding` is `[B, at least all columns]`."""
    handles = []

    def hook(layer_index):
        def pre(module, args, kwargs):
            hidden, cache = args[0], kwargs.get(CACHE)
            past = cache.get_seq_length(layer_index) if cache is not None else 0
            n, total = hidden.shape[1], past + hidden.shape[1]
            allowed = torch.zeros(hidden.shape[0], n, total, dtype=torch.bool)
            for b in range(hidden.shape[0]):
                gone = set()
                for layer, rows in dropped.items():
                    if layer <= layer_index:
                        gone |= rows[b]
                keys = [padding[b, k].item() == 1 and k not in gone for k in range(total)]
                for q in range(n):
                    allowed[b, q, : past + q + 1] = torch.tensor(keys[: past + q + 1])
            mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
            return args, {**kwargs, "attention_mask": mask[:, None]}

        return pre

    for i, layer in enumerate(model.model.language_model.layers):
        handles.append(layer.register_forward_pre_hook(hook(i), with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def record_inputs(model, inputs, padding, dropped) -> list[torch.Tensor]:
    """Hidden states entering each decoder layer, `[B, Q, D]` each, under the masks so far."""
    seen: list[torch.Tensor] = []
    handles = [
        layer.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach().clone()))
        for layer in model.model.language_model.layers
    ]
    try:
        with masked(model, padding, dropped), torch.no_grad():
            model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def l2(now: list[float], before: list[float]) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(now, before, strict=True)))


def l1(now: list[float], before: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(now, before, strict=True))


def angle(now: list[float], before: list[float]) -> float:
    dot = sum(a * b for a, b in zip(now, before, strict=True))
    return 1 - dot / math.sqrt(sum(a * a for a in now)) / math.sqrt(sum(b * b for b in before))


def define_drops(
    model, inputs, schedule: list[tuple[int, float | int]], distance=l2
) -> tuple[Dropped, dict[int, list[list[int]]]]:
    """Stage by stage, in plain Python: which positions go at each layer, and which stay.

    `schedule` holds (layer, share) or (layer, count as int).
    """
    ids = inputs["input_ids"]
    alive = [[i for i, t in enumerate(r) if t == IMAGE] for r in ids.tolist()]
    dropped: Dropped = {}
    kept: dict[int, list[list[int]]] = {}
    for layer, keep in schedule:
        states = record_inputs(model, inputs, inputs["attention_mask"], dropped)
        gone, stays = [], []
        for b, tokens in enumerate(alive):
            now, before = states[layer][b].tolist(), states[layer - 1][b].tolist()
            k = min(len(tokens), keep) if isinstance(keep, int) else int(len(tokens) * keep)
            ranked = sorted(tokens, key=lambda i: (-distance(now[i], before[i]), i))
            stays.append(sorted(ranked[:k]))
            gone.append(set(ranked[k:]))
        dropped[layer], kept[layer], alive = gone, stays, stays
    return dropped, kept
