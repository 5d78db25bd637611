"""Masks of shortened layers, in the forms that transformers' kernels take."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.masks import causal_mask


def mask(implementation, width, *, batch=1, past=0, valid=None, blocks=None, dtype=torch.float32):
    config = SimpleNamespace(_attn_implementation=implementation)
    hidden = torch.zeros(batch, width, 8, dtype=dtype)
    return causal_mask(config, hidden, past=past, valid=valid, blocks=blocks)


def seen(found):
    """Which columns each query sees, of an additive or a boolean mask."""
    return (found if found.dtype == torch.bool else found == 0)[:, 0].int().tolist()


def bits(*rows):
    return torch.tensor(rows, dtype=torch.bool)


LOWER = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_causal_over_columns():
    assert seen(mask("eager", 3)) == [LOWER]
    assert seen(mask("eager", 3, batch=2)) in ([LOWER, LOWER], [LOWER])


def test_cached_columns_are_seen_by_all():
    assert seen(mask("eager", 2, past=2)) == [[[1, 1, 1, 0], [1, 1, 1, 1]]]
    assert seen(mask("eager", 1, past=2)) == [[[1, 1, 1]]]


def test_filler_and_padding_are_seen_by_nobody():
    valid = bits([1, 1, 0], [1, 1, 1])
    for implementation in ("eager", "sdpa"):
        found = seen(mask(implementation, 3, batch=2, valid=valid))
        assert found == [[[1, 0, 0], [1, 1, 0], [1, 1, 0]], LOWER]


def test_columns_of_one_block_see_each_other():
    blocks = torch.tensor([[-1, 0, 0, -1]])
    expected = [[[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]]
    for implementation in ("eager", "sdpa"):
        assert seen(mask(implementation, 4, blocks=blocks)) == expected
    two = torch.tensor([[0, 0, 1, 1]])
    assert seen(mask("eager", 4, blocks=two)) == [
        [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    ]


def test_the_kernel_is_left_its_fast_path_where_nothing_is_masked():
    assert mask("sdpa", 3) is None
    assert mask("sdpa", 3, blocks=torch.tensor([[-1, 0, 0]])) is not None


def test_a_mask_that_is_added_has_the_models_dtype():
    assert mask("eager", 2, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_flash_takes_the_two_dimensional_mask():
    assert mask("flash_attention_2", 3) is None
    valid = bits([1, 1, 0])
    assert torch.equal(mask("flash_attention_2", 3, valid=valid), valid)


def test_an_implementation_without_masks_serves_only_what_needs_none():
    assert mask("of my own", 3) is None
    for needs in ({"valid": bits([1, 1, 0])}, {"blocks": torch.tensor([[0, 0, 0]])}):
        with pytest.raises(InstrumentError, match="'of my own' has no mask function") as caught:
            mask("of my own", 3, **needs)
        assert caught.value.hint
