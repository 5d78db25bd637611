"""What a layer that folds tokens into a state is handed, and what is noted of it: no model runs.

That a whole model then gives what it should is in ``test_folding.py``.
"""

from __future__ import annotations

import pytest
import torch

from v2drop_cli.errors import InstrumentError
from v2drop_cli.instrument.cache import CachedColumns
from v2drop_cli.instrument.folding import folded, folded_call
from v2drop_cli.instrument.forward import Forward
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.tensors import pack

WIDTH = 10
CALL = LayerCall(None)


def rows(*positions):
    return tuple(torch.tensor(row, dtype=torch.long) for row in positions)


def shortened(*columns):
    """A forward of ten columns of which a drop left these; the last vision token was column 6."""
    vision = rows(*[[2, 3, 6]] * len(columns))
    return Forward(vision, width=WIDTH, columns=pack(rows(*columns), left=True))


def known(length=7, fixed=5, sequence=10):
    return CachedColumns(length, None, torch.tensor(fixed), sequence)


# The call -------------------------------------------------------------------------------------


def test_the_call_is_left_alone_where_nothing_was_dropped():
    call, forward = CALL, Forward(width=3)
    handed = {"attention_mask": "a"}
    assert folded_call(call, forward, torch.zeros(1, 3, 2), handed, 0) is None


def test_filler_is_masked_as_padding_and_positions_are_not_told():
    forward = shortened([0, 1, 6, 9], [0, 9])
    handed = {"attention_mask": "of all columns", "position_ids": "of all", "cache": "c"}
    hidden, changed = folded_call(CALL, forward, torch.ones(2, 4, 3), handed, 0)
    assert hidden.shape == (2, 4, 3)
    assert changed["attention_mask"].tolist() == [[True] * 4, [False, False, True, True]]
    assert (changed["position_ids"], changed["cache"]) == (None, "c")
    assert handed["position_ids"] == "of all"  # the decoder's own, which other layers get


def test_without_filler_there_is_no_mask():
    handed = {"attention_mask": "a"}
    for before in (0, 5):
        _, changed = folded_call(CALL, shortened([0, 6, 9]), torch.ones(1, 3, 3), handed, before)
        assert changed["attention_mask"] is None


def test_filler_behind_an_earlier_turn_is_refused():
    with pytest.raises(InstrumentError, match="different lengths"):
        folded_call(CALL, shortened([0, 1, 6, 9], [0, 9]), torch.ones(2, 4, 3), {}, 5)


def test_ids_are_those_of_survivors_and_filler_is_what_begins_a_sequence():
    """Such a layer has a mask of padding of its own, beside that of attention."""
    call = LayerCall(None, padding_name="conv_mask", filler_id=2)
    ids = torch.arange(30, 30 + WIDTH)[None]
    handed = {"attention_mask": "of attention", "conv_mask": None, "ple_input_ids": ids}
    forward = shortened([0, 1, 6, 9], [0, 9])
    _, changed = folded_call(call, forward, torch.ones(2, 4, 3), handed, 0)
    assert changed["ple_input_ids"].tolist() == [[30, 31, 36, 39], [2, 2, 30, 39]]
    assert changed["conv_mask"].tolist() == [[True] * 4, [False, False, True, True]]
    assert changed["attention_mask"] == "of attention"


# What is noted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "earlier", "length", "fixed", "sequence"),
    [
        (0, None, 4, 1, 10),  # a prompt: 3 of its 4 columns are text behind the last vision token
        (20, None, 24, 21, 30),  # a turn after others, of which nothing was dropped
        (20, known(15, sequence=20), 19, 16, 30),  # which lost 5
    ],
)
def test_a_prompt_is_counted_by_what_is_left_of_it(before, earlier, length, fixed, sequence):
    found = folded(shortened([0, 7, 8, 9]), earlier, before)
    assert (found.length, int(found.fixed), found.sequence) == (length, fixed, sequence)
    assert (found.valid, found.shift, found.places) == (None, None, None)


def test_rows_with_filler_have_no_text_that_may_be_cropped():
    assert int(folded(shortened([0, 7, 8, 9], [9]), None, 0).fixed) == 4


def test_later_text_comes_behind_a_prompt_that_stays_as_it_was():
    earlier = known(length=7, fixed=5, sequence=10)
    found = folded(Forward(width=3), earlier, 10)
    assert (found.length, found.sequence) == (10, 13)
    assert found.fixed is earlier.fixed


def test_layers_between_two_drops_share_what_is_computed():
    forward = shortened([0, 7, 8, 9])
    first, second = folded(forward, None, 0), folded(forward, None, 0)
    assert first.fixed is second.fixed
    other = folded(forward, known(15, sequence=20), 20)
    assert (int(first.fixed), int(other.fixed)) == (1, 16)
