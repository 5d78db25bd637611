"""Index arithmetic: packing, gathering, scattering."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from v2drop_cli.tensors import (
    address,
    droppable,
    gather_rope,
    gather_rows,
    pack,
    scatter_rows,
    top_k,
    true_columns,
    true_positions,
    whole,
)

rows_strategy = st.integers(1, 12).flatmap(
    lambda width: st.tuples(
        st.just(width),
        st.lists(st.sets(st.integers(0, width - 1)).map(sorted), min_size=1, max_size=4),
    )
)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_top_k_is_the_stable_top_k(values, data):
    k = data.draw(st.integers(0, len(values)))
    got = top_k(torch.tensor(values, dtype=torch.float32), k).tolist()
    want = sorted(sorted(range(len(values)), key=lambda i: (-values[i], i))[:k])
    assert got == want


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_true_columns(mask):
    got = true_columns(torch.tensor(mask), sum(mask)).tolist()
    assert got == [i for i, present in enumerate(mask) if present]


@given(rows_strategy)
def test_pack_gather_scatter_round_trip(case):
    width, rows = case
    packed = pack([torch.tensor(r, dtype=torch.long) for r in rows])
    assert packed.width == max(map(len, rows))
    assert packed.lengths == tuple(map(len, rows))
    assert (packed.valid is None) == (len({len(r) for r in rows}) == 1)
    values = torch.arange(1, len(rows) * width * 2 + 1, dtype=torch.float32).view(
        len(rows), width, 2
    )
    short = gather_rows(values, packed.index)
    for b, row in enumerate(rows):
        assert torch.equal(short[b, : len(row)], values[b, row])
        if packed.valid is not None:
            assert packed.valid[b].tolist() == [True] * len(row) + [False] * (
                packed.width - len(row)
            )
    full = scatter_rows(short, packed, width)
    assert full.shape == values.shape
    for b, row in enumerate(rows):
        kept = torch.zeros(width, dtype=torch.bool)
        kept[row] = True
        assert torch.equal(full[b, kept], values[b, kept])
        assert (full[b, ~kept] == 0).all()


def test_rope_of_one_row_serves_a_batch_and_m_rope_keeps_its_axes():
    index = torch.tensor([[0, 2], [1, 3]])
    table = torch.arange(4.0).view(1, 4, 1)
    cos, sin = gather_rope((table, -table), index)
    assert cos[..., 0].tolist() == [[0, 2], [1, 3]]
    assert sin[..., 0].tolist() == [[0, -2], [-1, -3]]
    three = torch.stack([table, table + 10, table + 20])
    cos, _ = gather_rope((three, three), index)
    assert cos.shape == (3, 2, 2, 1)
    assert cos[2, 1, :, 0].tolist() == [21, 23]


def test_rope_of_complex_numbers_is_one_table():
    index = torch.tensor([[0, 2], [1, 3]])
    turns = torch.polar(torch.ones(1, 4, 1), torch.arange(4.0).view(1, 4, 1))
    [table] = gather_rope((turns,), index)
    assert torch.equal(table[..., 0], turns[0, :, 0][index])


def allowed(vision, padding=None):
    mask = None if padding is None else torch.tensor(padding, dtype=torch.bool)
    return droppable(torch.tensor(vision, dtype=torch.bool), mask).int().tolist()


def test_a_vision_token_may_go_unless_it_is_its_rows_last_token():
    assert allowed([[1, 0, 1, 1]]) == [[1, 0, 1, 0]]
    assert allowed([[1, 1, 1, 0]]) == [[1, 1, 1, 0]]
    assert allowed([[1]]) == [[0]]
    assert allowed([[1, 1, 0], [0, 1, 1]]) == [[1, 1, 0], [0, 1, 0]]


def test_padding_never_goes_and_the_last_token_is_the_last_real_one():
    assert allowed([[1, 1, 1]], [[0, 1, 1]]) == [[0, 1, 0]]
    assert allowed([[1, 1, 1]], [[1, 1, 0]]) == [[1, 0, 0]]
    # The mask of a later turn begins with the columns that are cached.
    assert allowed([[1, 1, 1]], [[1, 1, 0, 1, 1]]) == [[0, 1, 0]]


def test_a_shorter_row_is_filled_on_the_right_with_its_own_last_column():
    packed = pack([torch.tensor([0, 1, 4]), torch.tensor([0, 1, 2, 3, 5]), torch.tensor([]).long()])
    assert packed.index.tolist() == [[0, 1, 4, 4, 4], [0, 1, 2, 3, 5], [0] * 5]
    assert packed.valid.int().tolist() == [[1, 1, 1, 0, 0], [1] * 5, [0] * 5]


def test_where_a_state_would_see_filler_it_comes_first():
    packed = pack([torch.tensor([0, 3, 4]), torch.tensor([1])], left=True)
    assert packed.index.tolist() == [[0, 3, 4], [1, 1, 1]]
    assert packed.valid.tolist() == [[True, True, True], [False, False, True]]
    assert [packed.start(row) for row in (0, 1)] == [0, 2]
    assert packed.to(torch.device("cpu")).left
    right = pack([torch.tensor([0, 3, 4]), torch.tensor([1])])
    assert [right.start(row) for row in (0, 1)] == [0, 0]
    full = scatter_rows(torch.ones(2, 3, 1), packed, 5)[..., 0]
    assert full.tolist() == [[1, 0, 0, 1, 1], [0, 1, 0, 0, 0]]


def test_columns_move_to_a_device_whole_and_do_not_change():
    alike, filled = pack([torch.tensor([1])]), pack([torch.tensor([1]), torch.tensor([1, 2])])
    there = torch.device("meta")
    assert (alike.to(there).index.device, alike.to(there).valid) == (there, None)
    moved = filled.to(there)
    assert (moved.index.device, moved.valid.device, moved.lengths) == (there, there, (1, 2))
    with pytest.raises(FrozenInstanceError):
        alike.lengths = ()


@pytest.mark.parametrize("axes", [0, 1])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_values_of_one_row_serve_every_row_whatever_the_sizes(axes, rows):
    """All sizes are the batch size, so a wrong dimension is not told by its size."""
    size = (3,) * axes
    one = torch.arange(float(3**axes * rows * rows)).view(*size, 1, rows, rows)
    index = torch.arange(rows).flip(0).expand(rows, rows)
    found = gather_rows(one, index, dim=1 + axes)
    assert torch.equal(found, one.flip(-2).expand(*size, rows, rows, rows))


@pytest.mark.parametrize("axes", [0, 1])
def test_every_row_is_gathered_from_its_own_values(axes):
    values = torch.arange(2.0 * 3**axes * 4 * 5).view(*(3,) * axes, 2, 4, 5)
    found = gather_rows(values, torch.tensor([[3, 0, 0], [1, 2, 3]]), dim=1 + axes)
    assert torch.equal(found[..., 0, :, :], values[..., 0, [3, 0, 0], :])
    assert torch.equal(found[..., 1, :, :], values[..., 1, [1, 2, 3], :])


def test_the_columns_of_hidden_states_are_their_second_dimension():
    values = torch.arange(24.0).view(2, 3, 4)
    assert gather_rows(values, torch.tensor([[2], [0]]))[:, 0].tolist() == [
        values[0, 2].tolist(),
        values[1, 0].tolist(),
    ]


@pytest.mark.parametrize("valid", [None, torch.tensor([[True, True]])])
def test_one_row_is_put_back_where_it_was(valid):
    columns = replace(pack([torch.tensor([1, 3])]), valid=valid)
    full = scatter_rows(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), columns, 4)
    assert full.tolist() == [[[0, 0], [1, 2], [0, 0], [3, 4]]]


def test_where_each_row_of_a_mask_is_true():
    mask = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)
    assert [row.tolist() for row in true_positions(mask)] == [[0, 2], [], [1]]


class Split:
    """A tensor of which each process has a part."""

    def __init__(self, part, everything):
        self._local_tensor, self._everything = part, everything

    def full_tensor(self):
        return self._everything


def test_a_tensor_that_is_split_has_its_part_here_and_all_of_it_on_demand():
    part, everything = torch.zeros(1), torch.zeros(2)
    assert address(Split(part, everything)) == part.data_ptr() != everything.data_ptr()
    assert whole(Split(part, everything)) is everything
    assert whole(part) is part
