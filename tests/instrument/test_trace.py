"""What is told of the drops."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from v2drop_cli.instrument.trace import DropEvent, DropTrace, Merge


def event():
    rows = (torch.tensor([5, 9]), torch.tensor([], dtype=torch.long))
    return DropEvent(layer=3, before=(4, 4), after=(2, 0), positions=rows)


def test_kept_positions_are_plain_numbers_row_by_row():
    kept = event().kept
    assert kept == ((5, 9), ())
    assert type(kept[0][0]) is int
    with pytest.raises(FrozenInstanceError):
        event().layer = 4


def test_a_survivor_tells_which_others_it_took_in():
    """Of positions 4 to 8, 5 and 8 stay; 8 takes in 6 and 7, and itself."""
    merge = Merge(torch.tensor([-1, 0, 1, 1, 1]), torch.tensor([4, 5, 6, 7, 8]))
    assert merge.sources(torch.tensor([5, 8])) == ((), (6, 7))
    into_first = Merge(torch.tensor([0, 0, -1]), torch.tensor([4, 5, 6]))
    assert into_first.sources(torch.tensor([5])) == ((4,),)
    with pytest.raises(ValueError, match="longer"):
        Merge(torch.tensor([0]), torch.tensor([4, 5])).sources(torch.tensor([4]))
    with pytest.raises(FrozenInstanceError):
        merge.into = None


def test_sources_of_rows_that_merged_and_rows_that_did_not():
    assert event().sources is None
    rows = (torch.tensor([5]), torch.tensor([7, 9]))
    merge = Merge(torch.tensor([0, 0]), torch.tensor([4, 5]))
    found = DropEvent(3, (2, 2), (1, 2), rows, (merge, None))
    assert found.sources == (((4,),), ((), ()))


def test_a_trace_is_emptied_in_place_and_shared_by_nobody():
    trace, other = DropTrace(), DropTrace()
    events = trace.events
    events.append(event())
    assert other.events == []
    trace.clear()
    assert trace.events is events
    assert events == []
