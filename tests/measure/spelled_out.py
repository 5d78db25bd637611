"""Recurrences and convolutions as plain products, token by token, for torch's counter.

transformers' own code multiplies element by element, or in chunks: the counter sees none of it, or
more than there is. Here is the same arithmetic in products that the counter has a formula for.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch.nn.functional import pad
from transformers.activations import ACT2FN


def convolved(hidden, weight, bias=None, activation=None, **kwargs):
    """`[B, C, L]`: each channel's last tokens with its own kernel `[C, K]`."""
    windows = pad(hidden, (weight.shape[1] - 1, 0)).unfold(-1, weight.shape[1], 1)
    out = torch.einsum("bclk,ck->bcl", windows, weight)
    out = out if bias is None else out + bias[:, None]
    return out if activation is None else ACT2FN[activation](out)


def convolved_step(hidden, state, weight, bias=None, activation=None):
    window = torch.cat([state, hidden], dim=-1)[..., -state.shape[-1] :]
    state.copy_(window)
    out = torch.einsum("bck,ck->bc", window, weight)[..., None]
    out = out if bias is None else out + bias[:, None]
    return out if activation is None else ACT2FN[activation](out)


def delta_rule(query, key, value, g, beta, initial_state=None, **kwargs):
    """The gated delta rule by its definition: read, correct, write, read.

    Kimi's has a decay for each number of a key.
    """

    def unit(x):
        return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)

    groups = value.shape[2] // key.shape[2]
    query, key = (unit(x).repeat_interleave(groups, dim=2) for x in (query, key))
    query = query * query.shape[-1] ** -0.5
    state = initial_state
    if state is None:
        state = value.new_zeros(len(value), value.shape[2], key.shape[-1], value.shape[-1])
    read = []
    for q, k, v, decay, rate in zip(
        *(x.unbind(1) for x in (query, key, value, g.exp(), beta)), strict=True
    ):
        state = state * decay.view(*decay.shape, *[1] * (state.dim() - decay.dim()))
        off = (v - (k[..., None, :] @ state)[..., 0, :]) * rate[..., None]
        state = state + k[..., None] @ off[..., None, :]
        read.append((q[..., None, :] @ state)[..., 0, :])
    return torch.stack(read, dim=1), state


def mamba_step(state, hidden, dt, decay, key, query, skip, dt_bias, **kwargs):
    """One token of Mamba 2: write, read. The step is alike along a head, as are decay and skip."""
    dt = torch.nn.functional.softplus(dt + dt_bias)[..., 0]
    key, query = (x.repeat_interleave(hidden.shape[1] // x.shape[1], dim=1) for x in (key, query))
    wrote = (dt[..., None] * hidden)[..., None] @ key[..., None, :]
    state.copy_(state * (dt * decay[:, 0, 0]).exp()[..., None, None] + wrote)
    return (state @ query[..., None])[..., 0] + skip[:, :1] * hidden


def mamba_scan(hidden, dt, decay, key, query, dt_bias=None, initial_states=None, **kwargs):
    """The same over a sequence; no step is shorter than the limit."""
    least = torch.tensor(kwargs["dt_limit"][0]).expm1().log()  # softplus of it is the limit
    dt = torch.maximum(dt + dt_bias, least) - dt_bias
    state = initial_states
    if state is None:
        state = hidden.new_zeros(len(hidden), *hidden.shape[2:], key.shape[-1])
    wide = (kwargs["D"][:, None], dt_bias[:, None])
    steps = zip(*(x.unbind(1) for x in (hidden, dt[..., None], key, query)), strict=True)
    made = [mamba_step(state, x, d, decay[:, None, None], k, q, *wide) for x, d, k, q in steps]
    out = torch.stack(made, dim=1)
    return (out, state) if kwargs["return_final_states"] else out


FUNCTIONS = {
    "mamba2_chunk_scan": mamba_scan,
    "mamba2_selective_state_update": mamba_step,
    "causal_conv1d_fn": convolved,
    "causal_conv1d_update": convolved_step,
    "torch_chunk_gated_delta_rule": delta_rule,
    "chunk_kimi_delta_attention": delta_rule,
    "recurrent_kimi_delta_attention": delta_rule,
    "torch_recurrent_gated_delta_rule": delta_rule,
}


@contextmanager
def spelled_out(layers):
    """Layers that fold tokens compute with these functions for the duration."""
    folding = [layer for layer in layers if any(map(is_convolution, layer.modules()))]
    with ExitStack() as stack:
        for code in {sys.modules[type(layer).__module__] for layer in folding}:
            for name in FUNCTIONS.keys() & vars(code).keys():
                stack.enter_context(mock.patch.object(code, name, FUNCTIONS[name]))
        yield


def is_convolution(module):
    return isinstance(module, torch.nn.Conv1d)
