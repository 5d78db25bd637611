"""Sizes of latent attention, read off layers that have nothing but their two maps and an index."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from v2drop_cli.measure.latents import Latents, latents

# Two heads, keys of 6 + 4 and values of 5, made of latents of 8.
SIZES = {
    "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 5,
    "num_heads": 2,
}  # fmt: skip


def layer(compress=(32, 12), expand=(8, 22), **more):
    """A block whose maps have these sizes; ``None`` for a map that it lacks."""
    maps = {"kv_a_proj_with_mqa": compress, "kv_b_proj": expand}
    with torch.device("meta"):
        made = {name: size and nn.Linear(*size, bias=False) for name, size in maps.items()}
    return SimpleNamespace(self_attn=SimpleNamespace(**SIZES | made | more))


def test_sizes_by_hand():
    """A column is held as 8 + 4 numbers; of them 8 · 2 · (6 + 5) products make keys and values."""
    found = latents([layer(), layer(compress=(64, 12))])
    assert found == (Latents(expanding=176, keys=10, values=5, held=12),) * 2


def test_an_index_scores_each_column_with_each_of_its_heads():
    """Three heads of 7 and a sum weighted by head; its key is held beside the latent."""
    [found] = latents([layer(indexer=SimpleNamespace(head_dim=7, n_heads=3))])
    assert found == Latents(expanding=176, keys=10, values=5, held=12 + 7, choosing=3 * 8)


def test_layers_may_differ():
    """As those without rotary tables, which hold no part of a key that would be turned."""
    bare = layer(compress=(32, 8), expand=(8, 30), qk_rope_head_dim=0, qk_nope_head_dim=10)
    assert [one.held for one in latents([layer(), bare])] == [12, 8]


@pytest.mark.parametrize(
    "odd",
    [
        layer(compress=(32, 11)),
        layer(compress=(32, 13)),
        layer(compress=None),
        layer(expand=None),
        layer(expand=(7, 22)),
        layer(expand=(8, 21)),
        layer(expand=(8, 23)),
        SimpleNamespace(),  # no attention at all
    ],
)
def test_one_layer_that_is_built_some_other_way_is_enough_for_no_count(odd):
    assert latents([layer(), odd]) == ()
    assert latents([odd, layer()]) == ()
