"""Several hidden states a token, as Gemma 3n has them; the matrix drops in it."""

from __future__ import annotations

import torch

from v2drop_cli.instrument.token_states import as_entered, by_token

FOUR = torch.arange(4 * 2 * 3 * 5).reshape(4, 2, 3, 5)


def test_where_tokens_are_scored_their_states_are_one_behind_the_other():
    long = by_token(FOUR, scored=True, states_first=True)
    assert long.shape == (2, 3, 20)
    assert torch.equal(long[1, 2], torch.cat([FOUR[s, 1, 2] for s in range(4)]))
    assert torch.equal(as_entered(long[:, [0, 2]], FOUR, states_first=True), FOUR[:, :, [0, 2]])


def test_elsewhere_nothing_is_copied():
    turned = by_token(FOUR, scored=False, states_first=True)
    assert turned.shape == (2, 3, 4, 5)
    assert turned.data_ptr() == FOUR.data_ptr()
    assert torch.equal(as_entered(turned, FOUR, states_first=True), FOUR)


def test_one_state_a_token_is_left_alone():
    assert by_token(FOUR[0], scored=True).data_ptr() == FOUR[0].data_ptr()
    assert as_entered(FOUR[1], FOUR[0]) is not FOUR[0]
    assert torch.equal(as_entered(FOUR[1], FOUR[0]), FOUR[1])


def test_streams_behind_the_tokens_stay_there():
    streams = by_token(FOUR, scored=False)
    assert streams is FOUR
    long = by_token(FOUR, scored=True)
    assert torch.equal(long[1, 1], FOUR[1, 1].reshape(-1))
    assert torch.equal(as_entered(long[:, [1]], FOUR), FOUR[:, [1]])
    assert torch.equal(as_entered(streams[:, :1], FOUR), FOUR[:, :1])
