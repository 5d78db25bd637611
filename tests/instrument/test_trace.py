"""What is told of the drops."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from v2drop_cli.instrument.trace import DropEvent, DropTrace


def event():
    rows = (torch.tensor([5, 9]), torch.tensor([], dtype=torch.long))
    return DropEvent(layer=3, before=(4, 4), after=(2, 0), positions=rows)


def test_kept_positions_are_plain_numbers_row_by_row():
    kept = event().kept
    assert kept == ((5, 9), ())
    assert type(kept[0][0]) is int
    with pytest.raises(FrozenInstanceError):
        event().layer = 4


def test_a_trace_is_emptied_in_place_and_shared_by_nobody():
    trace, other = DropTrace(), DropTrace()
    events = trace.events
    events.append(event())
    assert other.events == []
    trace.clear()
    assert trace.events is events
    assert events == []
