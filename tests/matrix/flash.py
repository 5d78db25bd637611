"""transformers' own flash path on a CPU: everything but the kernels, which plain torch replaces.

Flash kernels take no mask: sequences, padding and packing are told by lengths that transformers
works out from the mask and the position ids it is handed. Its code for that runs here as it is,
so a layer handed the wrong thing gives the wrong numbers, as it would on a GPU.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers.modeling_flash_attention_utils as flash
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flash_attention import flash_attention_forward
from transformers.masking_utils import flash_attention_mask

NAME = "flash_recorded"  # models ask whether "flash" is in the name


@dataclass
class Call:
    """What one layer's attention was handed, and which kernels that led to."""

    module: Any
    query: tuple[int, ...]
    key: tuple[int, ...]
    value: tuple[int, ...]
    mask: torch.Tensor | None
    kwargs: dict[str, Any]
    kernels: list[tuple[str, bool, list[int], list[int]]] = field(default_factory=list)


def attend(q, k, v, scale, causal):
    """One sequence, `[n, H, D]` each; causal from the bottom right corner, as flash kernels are."""
    n, total, groups = len(q), len(k), q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        seen = torch.arange(total) <= torch.arange(n)[:, None] + total - n
        scores = scores.masked_fill(~seen, float("-inf"))
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)


@contextmanager
def recorded(monkeypatch):
    """Register the implementation NAME; yields the list of calls it gets."""
    calls: list[Call] = []

    def flash_attn_func(
        q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1)
    ):
        calls[-1].kernels.append(("dense", causal, [q.shape[1]] * len(q), [k.shape[1]] * len(k)))
        rows = zip(q, k, v, strict=True)
        return torch.stack([attend(*row, softmax_scale, causal) for row in rows])

    def flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens_q,
        cu_seqlens_k,
        max_seqlen_q,
        max_seqlen_k,
        dropout_p=0.0,
        softmax_scale=None,
        causal=False,
        window_size=(-1, -1),
    ):
        queries, keys = cu_seqlens_q.diff().tolist(), cu_seqlens_k.diff().tolist()
        calls[-1].kernels.append(("varlen", causal, queries, keys))
        assert (max(queries), max(keys)) == (int(max_seqlen_q), int(max_seqlen_k))
        rows = zip(q.split(queries), k.split(keys), v.split(keys), strict=True)
        return torch.cat([attend(*row, softmax_scale, causal) for row in rows])

    def kernels(implementation, *args, **kwargs):
        assert implementation == NAME
        return flash_attn_func, flash_attn_varlen_func, None, flash._pad_input, flash._unpad_input

    def attention(module, query, key, value, attention_mask, **kwargs):
        shapes = (tuple(x.shape) for x in (query, key, value))
        calls.append(Call(module, *shapes, attention_mask, kwargs))
        return flash_attention_forward(module, query, key, value, attention_mask, **kwargs)

    monkeypatch.setattr(flash, "_lazy_imports", kernels)
    monkeypatch.setattr(flash, "_loaded_implementation", None)
    with monkeypatch.context() as patch:
        for interface, function in (
            (AttentionInterface, attention),
            (AttentionMaskInterface, flash_attention_mask),
        ):
            patch.setitem(interface._global_mapping, NAME, function)
        yield calls
