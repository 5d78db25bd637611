"""Each refusal by itself: what it is raised for, and the nearest thing that it lets pass."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.modeling_layers import GradientCheckpointingLayer

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.refusals import (
    refuse_compiled,
    refuse_packed,
    refuse_paged,
    refuse_recomputation,
    refuse_router_logits,
)


def refused(match):
    return pytest.raises(InstrumentError, match=match)


# Compiled before -----------------------------------------------------------------------------


def compiled_in_place():
    module = nn.Linear(2, 2)
    module._compiled_call_impl = lambda: None
    return module


def compiled_beside():
    module = nn.Linear(2, 2)
    module._orig_mod = nn.Identity()
    return module


def compiled_forward():
    module = nn.Linear(2, 2)
    module.forward = lambda x: x
    module.forward._torchdynamo_orig_callable = None
    return module


@pytest.mark.parametrize("make", [compiled_in_place, compiled_beside, compiled_forward])
def test_a_module_compiled_in_any_way_is_refused_wherever_it_comes(make):
    for modules in ((make(),), (nn.Identity(), make()), (make(), nn.Identity())):
        with refused("Linear was compiled before") as caught:
            refuse_compiled(*modules)
        assert "uncompiled" in caught.value.hint


def test_modules_that_were_not_compiled_pass():
    refuse_compiled(nn.Linear(2, 2), nn.Sequential(nn.Identity()), SimpleNamespace())


# Layers called again in the backward pass ----------------------------------------------------


@pytest.fixture
def old_layers(monkeypatch):
    """As on a transformers that checkpoints `__call__`, hooks included."""
    monkeypatch.setattr(GradientCheckpointingLayer, "__call__", nn.Module.__call__, raising=False)


@pytest.fixture
def new_layers(monkeypatch):
    if "__call__" in vars(GradientCheckpointingLayer):
        monkeypatch.delattr(GradientCheckpointingLayer, "__call__")


TRAINING = SimpleNamespace(training=True, gradient_checkpointing=True)
PASSING = [
    SimpleNamespace(training=False, gradient_checkpointing=True),
    SimpleNamespace(training=True, gradient_checkpointing=False),
    SimpleNamespace(training=True),
]


def test_recomputed_hooks_are_refused(old_layers):
    with refused("recomputes hooks") as caught:
        refuse_recomputation(TRAINING)
    assert "update transformers" in caught.value.hint


@pytest.mark.parametrize("decoder", PASSING, ids=["eval", "off", "unknown"])
def test_nothing_is_recomputed_without_both(old_layers, decoder):
    refuse_recomputation(decoder)


def test_nothing_is_recomputed_without_gradients(old_layers):
    with torch.no_grad():
        refuse_recomputation(TRAINING)


def test_new_layers_recompute_no_hooks(new_layers):
    refuse_recomputation(TRAINING)


# Continuous batching and router logits -------------------------------------------------------


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_a_paged_cache_is_refused_whatever_its_name(name):
    paged = PagedAttentionCache.__new__(PagedAttentionCache)
    with refused("continuous batching"):
        refuse_paged({"input_ids": "ids", name: paged, "use_cache": True})


def test_a_block_table_is_refused_and_a_plain_cache_passes():
    with refused("paged cache"):
        refuse_paged({"block_table": torch.zeros(1)})
    refuse_paged({"block_table": None, "past_key_values": "a plain cache"})
    refuse_paged({})


@pytest.mark.parametrize(
    ("asked", "configured", "raises"),
    [
        (True, False, True),
        (None, True, True),
        (False, True, False),
        (None, False, False),
        (None, None, False),
    ],
)
def test_router_logits_are_refused_where_they_are_asked_for(asked, configured, raises):
    config = SimpleNamespace(**{} if configured is None else {"output_router_logits": configured})
    arguments = {} if asked is None else {"output_router_logits": asked}
    if raises:
        with refused("auxiliary loss") as caught:
            refuse_router_logits(arguments, config)
        assert caught.value.hint == "pass output_router_logits=False"
    else:
        refuse_router_logits(arguments, config)


# Packed rows ---------------------------------------------------------------------------------

ON, AGAIN = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 1, 0, 1]])
ONES, PADDED = torch.ones(1, 4), torch.tensor([[0, 1, 1, 1]])


def axes(text, others, n):
    """M-RoPE positions: `n` axes, the text's first."""
    return torch.stack([text, *[others] * (n - 1)])


PACKED = {
    "lengths": ({"cu_seq_lens_q": torch.tensor([0, 2, 4])}, "sdpa"),
    "lengths, and positions that go on": (
        {"cu_seq_lens_q": torch.tensor([0, 4]), "position_ids": ON}, "sdpa",
    ),
    "positions that start again": ({"position_ids": AGAIN}, "sdpa"),
    "positions that skip": ({"position_ids": torch.tensor([[0, 1, 3, 4]])}, "eager"),
    "text's of four axes": ({"position_ids": axes(AGAIN, ON, 4)}, "sdpa"),
    "flash with a mask of ones": (
        {"position_ids": AGAIN, "attention_mask": ONES}, "flash_attention_2",
    ),
}  # fmt: skip
WHOLE = {
    "nothing known": ({}, "sdpa"),
    "positions that go on": ({"position_ids": ON}, "sdpa"),
    "from somewhere": ({"position_ids": ON + 7}, "sdpa"),
    "three axes": ({"position_ids": axes(AGAIN, AGAIN, 3)}, "sdpa"),
    "text's of four axes": ({"position_ids": axes(ON, AGAIN, 4)}, "sdpa"),
    "a mask": ({"position_ids": AGAIN, "attention_mask": ONES}, "sdpa"),
    "flash with padding": (
        {"position_ids": AGAIN, "attention_mask": PADDED}, "flash_attention_2",
    ),
    "two rows": ({"position_ids": torch.cat([AGAIN, AGAIN])}, "sdpa"),
    "no tensor": ({"position_ids": [[0, 0]]}, "sdpa"),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_row_is_refused(name):
    with refused("packed into one row") as caught:
        refuse_packed(*PACKED[name])
    assert "padded batch" in caught.value.hint


@pytest.mark.parametrize("name", WHOLE)
def test_a_row_that_holds_one_sequence_passes(name):
    refuse_packed(*WHOLE[name])
