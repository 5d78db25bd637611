"""The signals of one row by themselves, from forwards made by hand: no model runs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.cache import CachedColumns
from v2drop_cli.instrument.forward import Forward, counted_after
from v2drop_cli.instrument.here import Here, Reader
from v2drop_cli.instrument.signals import RowSignals
from v2drop_cli.methods.base import EMBEDDINGS, GRIDS, HIDDEN, NORMED, QUESTION, TEXT
from v2drop_cli.tensors import pack

NEEDS = frozenset({HIDDEN, TEXT, GRIDS, QUESTION})
WIDTH, PAST = 6, 2


def row_of(forward, row=0, layer=3, needs=NEEDS, **known):
    """A row of a forward made by hand, whose hidden states are its columns' numbers."""
    reader = Reader(None, needs, known.pop("family", None), None, [], **known)
    here = Here(reader, forward, row, layer, {}, known.get("cache"))
    entering = torch.arange(WIDTH).float()[:, None]
    return RowSignals(entering, None, forward.alive[row], here)


def forward_of(*vision, padding=None, **more):
    rows = tuple(torch.tensor(row, dtype=torch.long) for row in vision)
    lengths = (WIDTH,) * len(rows)
    if padding is not None:
        padding = torch.tensor(padding, dtype=torch.bool)
        lengths = tuple(padding[:, -WIDTH:].sum(1).tolist())
    made = Forward(rows, padding, WIDTH, lengths, alive=list(rows), **more)
    made.after = counted_after(made)
    return made


def test_text_lies_before_between_and_behind_the_vision_tokens():
    forward = forward_of([1, 4], [2], padding=[[1] * 8, [0, 0, 0, 1, 1, 1, 1, 1]])
    assert row_of(forward).text().tolist() == [0, 2, 3, 5]
    assert row_of(forward).text_after().tolist() == [5]
    assert row_of(forward, 1).text().tolist() == [1, 3, 4, 5]
    assert row_of(forward, 1).text_after().tolist() == [3, 4, 5]


def test_positions_of_columns_and_columns_of_positions():
    forward = forward_of([1, 4, 5], [2])
    row = row_of(forward).here
    assert row.original(torch.tensor([1, 4])).tolist() == [1, 4]
    assert row.alive(torch.tensor([1, 4])).tolist() == [1, 4]
    assert row_of(forward).order().tolist() == [0, 1, 2]
    forward.columns = pack([torch.tensor([0, 2, 3, 4]), torch.tensor([3, 5])])
    forward.alive = [torch.tensor([3]), torch.tensor([], dtype=torch.long)]
    assert row.original(torch.tensor([1, 3])).tolist() == [2, 4]
    assert row.alive(torch.tensor([0, 4, 2])).tolist() == [0, 3, 1]
    assert row_of(forward).order().tolist() == [1]
    second = row_of(forward, 1).here
    assert second.original(torch.tensor([0, 1])).tolist() == [3, 5]
    assert second.alive(torch.tensor([5, 3])).tolist() == [1, 0]


STATES = torch.zeros(WIDTH, 1)
MASK = [[0, 1, 1, 1, 0, 1, 1, 1], [1] * 8]


class Held:
    """A cache that can be noted in a book."""

    def get_seq_length(self, layer=0):
        return PAST


@pytest.mark.parametrize(
    ("padding", "short", "known", "wanted"),
    [
        (None, None, "nothing", None),
        (MASK, None, "nothing", MASK[0]),
        (None, None, [[1, 0], [1, 1]], [1, 0] + [1] * 6),
        (None, None, None, None),
        # What is known of a short layer stands for the mask, which is of the whole sequence.
        (MASK, None, [[1, 0], [1, 1]], [1, 0, *MASK[0][2:]]),
        (MASK, None, None, [1, 1, *MASK[0][2:]]),
        (None, [[0, 2, 5], [0, 1, 2, 3]], "nothing", [1] * 5 + [0]),
        (MASK, [[0, 2, 5], [0, 1, 2, 3]], None, [1] * 5 + [0]),
        (None, [[0, 2], [0, 1]], "nothing", None),
        (MASK, [[0, 2], [0, 1]], "nothing", [0, 1, 1, 1]),
    ],
)
def test_what_a_row_may_attend_to(padding, short, known, wanted):
    forward = forward_of([1], [1], padding=padding)
    if short is not None:
        forward.columns = pack([torch.tensor(row) for row in short])
    here, cache = row_of(forward).here, Held()
    if known != "nothing":
        valid = None if known is None else torch.tensor(known, dtype=torch.bool)
        here.reader.book.remember(cache, 3, CachedColumns(PAST, valid, torch.tensor(0), PAST))
    here = replace(here, cache=cache)
    width = WIDTH if short is None else forward.columns.index.shape[1]
    found = here._valid(3, PAST, STATES[:width])
    assert (found if found is None else found.int().tolist()) == wanted


def test_a_model_that_hands_over_no_embeddings_is_told():
    row = row_of(forward_of([1]), needs=frozenset({EMBEDDINGS}))
    with pytest.raises(InstrumentError, match="no inputs_embeds"):
        row.embeddings()


class Family:
    """Knows how rows lie over pixels from a tensor of their own."""

    grid_tensors = ("sizes",)

    def vision_tokens(self, config, arguments):
        return SimpleNamespace(grids=arguments["sizes"])


def test_grids_are_the_rows_own_where_the_call_tells():
    forward = forward_of([1], [1])
    forward.arguments = {"sizes": ["first", "second"]}
    assert row_of(forward, 1, family=Family()).grids() == "second"
    forward.arguments = {}
    assert row_of(forward, 1, family=Family()).grids() is None


def test_what_is_made_once_is_made_once_a_row_and_forward():
    forward, made = forward_of([1], [1]), []

    def make():
        made.append(len(made))
        return torch.tensor(len(made))

    found = [int(row_of(forward, row).once(name, make)) for row, name in
             [(0, "a"), (0, "a"), (1, "a"), (0, "b"), (1, "a")]]  # fmt: skip
    assert found == [1, 1, 2, 3, 2]
    alone = RowSignals(STATES, None, torch.tensor([1]))
    assert [int(alone.once("a", make)) for _ in range(2)] == [4, 5]


def test_states_of_text_are_those_at_its_columns_and_normed_by_the_last_norm():
    forward = forward_of([1, 4])
    forward.columns = pack([torch.tensor([0, 2, 3, 4, 5])])
    forward.alive = [torch.tensor([3])]
    row = row_of(forward, needs=frozenset({HIDDEN, NORMED}), final_norm=Halves())
    assert row.hidden().tolist() == [[3.0]]
    assert row.hidden(torch.tensor([2, 5])).tolist() == [[1.0], [4.0]]
    assert row.normed().tolist() == [[1.5]]
    assert row.normed(torch.tensor([5])).tolist() == [[2.0]]
    lacks = row_of(forward, needs=frozenset({NORMED}), family=SimpleNamespace(name="odd"))
    with pytest.raises(UnsupportedModelError, match="norm of odd") as caught:
        lacks.normed()
    assert caught.value.hint


class Halves(torch.nn.Module):
    def forward(self, states):
        return states / 2


def test_both_states_are_measured_over_all_columns():
    now, before = torch.arange(4.0)[:, None], torch.ones(4, 1)
    row = RowSignals(now, before, torch.tensor([1, 3]))
    assert row.measured(lambda one, other: (one - other)[:, 0]).tolist() == [0.0, 2.0]
    assert row.previous_hidden().tolist() == [[1.0], [1.0]]
