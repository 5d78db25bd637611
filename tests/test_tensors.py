"""Index arithmetic: packing, gathering, scattering."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from v2drop_cli.tensors import gather_rope, gather_rows, pack, scatter_rows, top_k, true_columns

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
