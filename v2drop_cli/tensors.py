"""Pure index arithmetic on batches: which columns stay, gathering them, undoing it.

Shapes: B rows, Q columns of the current forward, W columns that stay, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def top_k(scores: Tensor, k: int) -> Tensor:
    """Indices of the ``k`` highest scores, in ascending index order.

    Ties go to the earlier token, so a result does not depend on the device's sort.

    Args:
        scores: ``[n]`` float, higher stays.
        k: how many, 0 to n.

    >>> top_k(torch.tensor([1.0, 3.0, 3.0, 2.0]), 2).tolist()
    [1, 2]
    """
    order = torch.argsort(scores, descending=True, stable=True)
    return order[:k].sort().values


def address(tensor: Tensor) -> int:
    """Where its numbers are: tensors that share them have one.

    >>> one = torch.zeros(2)
    >>> address(one) == address(one.view(1, 2)), address(one) == address(torch.zeros(2))
    (True, False)
    """
    # Of one that is split among processes, where this process's part is.
    local: Tensor = getattr(tensor, "_local_tensor", tensor)
    return local.data_ptr()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that is split among processes, which all ask at once; any other as it is."""
    gathered: Any = getattr(tensor, "full_tensor", None)
    return tensor if gathered is None else gathered()


def true_columns(mask: Tensor, count: int) -> Tensor:
    """Ascending indices of the ``count`` true entries of ``mask`` ``[W]``.

    The count is known on the host, so unlike ``nonzero`` this never waits for the device.

    >>> true_columns(torch.tensor([True, False, True]), 2).tolist()
    [0, 2]
    """
    return torch.argsort(~mask, stable=True)[:count]


def droppable(vision: Tensor, padding: Tensor | None) -> Tensor:
    """The vision tokens that may go: no padding, and not a row's last token.

    The output at the last token is the answer's first; a prompt that ends in an image would
    otherwise be answered from a token that is gone.

    Args:
        vision: ``[B, Q]`` bool.
        padding: ``[B, Q or more]`` bool, false where padded; ``None`` for no padding.

    >>> droppable(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True]])).tolist()
    [[False, True, False]]
    >>> droppable(torch.tensor([[True, True]]), None).tolist()
    [[True, False]]
    """
    width = vision.shape[1]
    order = torch.arange(1, width + 1, device=vision.device).expand_as(vision)
    if padding is not None:
        real = padding[:, -width:].to(vision.device)
        vision, order = vision & real, order * real
    return vision.scatter(1, order.argmax(dim=1, keepdim=True), False)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns a layer processes, as positions in this forward's input.

    Worked example: two rows of 6 columns, row 0 loses columns 2 and 3, row 1 column 4:

        index = [[0, 1, 4, 5, 5], [0, 1, 2, 3, 5]]   valid = [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]

    Row 0 has one column fewer, so its last entry is filler: it repeats a real column, is
    masked as a key everywhere and its output is thrown away. Filler sits on the right, where
    every filler query still sees valid keys: no row of a mask is ever empty. Only where layers
    fold tokens into a state it sits on the left, as padding does: what is zero before a row's
    first token leaves no trace in a state, what comes after its last one would.

    Attributes:
        index: ``[B, W]`` long, ascending over the valid part of each row.
        valid: ``[B, W]`` bool, or ``None`` when no entry is filler.
        lengths: valid entries per row, on the host.
        left: whether filler sits on the left.
    """

    index: Tensor
    valid: Tensor | None
    lengths: tuple[int, ...]
    left: bool = False

    @property
    def width(self) -> int:
        """W, filler included."""
        return self.index.shape[1]

    def start(self, row: int) -> int:
        """Where the valid part of ``row`` begins."""
        return self.width - self.lengths[row] if self.left else 0

    def to(self, device: torch.device) -> Columns:
        """The same on ``device``."""
        valid = None if self.valid is None else self.valid.to(device)
        return Columns(self.index.to(device), valid, self.lengths, self.left)


def pack(rows: Sequence[Tensor], left: bool = False) -> Columns:
    """Columns from one ascending index tensor ``[w_b]`` per row.

    Args:
        rows: the columns of each row that stay.
        left: filled up on the left, not on the right.
    """
    lengths = tuple(len(row) for row in rows)
    width = max(lengths)
    if min(lengths) == width:
        return Columns(torch.stack(list(rows)), None, lengths, left)
    filled = [(_filler(row, width - len(row)), row) for row in rows]
    index = torch.stack([torch.cat(pair if left else pair[::-1]) for pair in filled])
    counts = torch.tensor(lengths).to(index.device, non_blocking=True)
    order = torch.arange(width, device=index.device)
    valid = (order.flip(0) if left else order) < counts[:, None]
    return Columns(index, valid, lengths, left)


def _filler(row: Tensor, count: int) -> Tensor:
    # Any column will do, for its output is discarded; a row may be empty (all padding).
    return row[-1:].expand(count) if len(row) else row.new_zeros(count)


def gather_rows(values: Tensor, index: Tensor, dim: int = 1) -> Tensor:
    """Take ``index[b]`` along ``dim`` of each batch row.

    Args:
        values: ``[..., B or 1, Q, D]`` with the columns at ``dim`` and the batch at ``dim - 1``:
            hidden states ``[B, Q, D]`` (dim 1) or M-RoPE tables ``[3, B, Q, D]`` (dim 2).
        index: ``[B, W]`` long.
        dim: the dimension of the columns.

    Returns:
        The same with W columns; a batch of 1 is expanded to B.
    """
    batch, width = index.shape
    if batch == 1:  # whole rows of memory at once: many times as fast as a gather of elements
        return values.index_select(dim, index[0])
    if values.shape[dim - 1] != batch:
        sizes = list(values.shape)
        sizes[dim - 1] = batch
        values = values.expand(sizes)
    shape = [1] * values.dim()
    shape[dim - 1], shape[dim] = batch, width
    target = list(values.shape)
    target[dim] = width
    return values.gather(dim, index.view(shape).expand(target))


def gather_rope(rope: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
    """Survivors' cosines and sines, 1-D ``[B or 1, Q, d]`` or M-RoPE ``[3, B, Q, d]``.

    Or one table of complex numbers.
    """
    return tuple(gather_rows(table, index, table.dim() - 2) for table in rope)


def scatter_rows(short: Tensor, columns: Columns, full_width: int) -> Tensor:
    """Undo a gather: ``[B, W, D]`` back to ``[B, full_width, D]``, zeros where dropped.

    Filler lands in a column of its own that is cut off again.
    """
    index = columns.index
    if columns.valid is not None:
        index = index.masked_fill(~columns.valid, full_width)
    extra = 0 if columns.valid is None else 1
    full = short.new_zeros(short.shape[0], full_width + extra, short.shape[2])
    if len(index) == 1:
        return full.index_copy_(1, index[0], short)[:, :full_width]
    full.scatter_(1, index.unsqueeze(-1).expand_as(short), short)
    return full[:, :full_width]


def true_positions(mask: Tensor) -> tuple[Tensor, ...]:
    """Per row of ``mask [B, L]``, the ascending positions of what is true.

    >>> [row.tolist() for row in true_positions(torch.tensor([[True, False, True], [False] * 3]))]
    [[0, 2], []]
    """
    rows: tuple[Tensor, ...] = torch.split(mask.nonzero()[:, 1], mask.sum(dim=1).tolist())
    return rows


def moved_to(value: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """A tensor on ``device``, in ``dtype`` if any; a list, as one model takes it, as it is."""
    return value.to(device, dtype) if isinstance(value, Tensor) else value


def joined(values: Sequence[Any], dim: int) -> Any:
    """Tensors along ``dim``, or lists one behind another."""
    if isinstance(values[0], Tensor):
        return torch.cat(list(values), dim=dim)
    return [item for value in values for item in value]
