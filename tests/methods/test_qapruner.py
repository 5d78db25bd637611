"""QAPruner against its definition in plain NumPy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.entering import Entering, drawn, rows_of, unit
from tests.methods.test_cdpruner import by_decoder, greedy
from tests.tiny_llava import make_llava, mixed_batch
from v2drop_cli.errors import UsageError
from v2drop_cli.methods.qapruner import QAPruner
from v2drop_cli.methods.registry import get_method
from v2drop_cli.records import Grid


def scaled(values):
    return (values - min(values) + 1e-8) / (max(values) - min(values) + 1e-8)


def sensitivity(tokens, bits, group):
    error, spread = [], []
    for token in tokens:
        moved = 0.0
        for start in range(0, len(token), group):
            channels = token[start : start + group]
            step = max(abs(channels)) / (2 ** (bits - 1) - 1)
            moved += sum((c - step * np.round(c / (step + 1e-8))) ** 2 for c in channels)
        error.append(np.sqrt(moved))
        spread.append(max(token) - min(token))
    return 0.5 * scaled(np.array(error)) + 0.5 * scaled(np.array(spread))


def by_hand(tokens, asked, k, pictures=None, alpha=0.7, bits=4, group=128):
    r = by_decoder(tokens, asked)
    r = (r - r.min() + 1e-6) / (r.max() - r.min())
    pictures = pictures or [len(tokens)]
    parts = np.split(tokens, np.cumsum(pictures)[:-1])
    s = alpha * r + (1 - alpha) * np.concatenate([sensitivity(p, bits, group) for p in parts])
    return greedy(s[:, None] * (unit(tokens) @ unit(tokens).T) * s, k)


def kept(method, states, asked, k, grids=None):
    return method.select(Entering(states, asked, grids).context(k)).index.tolist()


@pytest.mark.parametrize(
    "parameters",
    [{}, {"alpha": 0.0}, {"alpha": 1.0}, {"bits": 2}, {"group": 48}, {"group": 1000, "bits": 8}],
)
def test_it_is_what_the_definition_says(parameters):
    states, asked = drawn(24, 256), drawn(5, 256, seed=7)
    tokens, words = states.double().numpy(), asked.double().numpy()
    for k in (1, 8, 23):
        expected = by_hand(tokens, words, k, **parameters)
        assert kept(QAPruner(**parameters), states, asked, k) == expected


def test_each_picture_is_scaled_by_itself():
    states, asked = drawn(21, 32), drawn(3, 32, seed=2)
    states[:12] *= 20  # all of the first picture would be more sensitive than all of the second
    grids = (Grid(1, 3, 4), Grid(1, 2, 4), Grid(1, 1, 1, (1.0, 1.0, 1.0, 1.0)))
    tokens, words = states.double().numpy(), asked.double().numpy()
    found = kept(QAPruner(alpha=0.1), states, asked, 7, grids)
    assert found == by_hand(tokens, words, 7, [12, 9], alpha=0.1)
    assert found != by_hand(tokens, words, 7, alpha=0.1)


def test_duplicates_and_zeros():
    states = drawn(3, 16)[[0, 0, 1, 2, 2]]
    states[3] = 0
    for k in range(1, 6):
        assert len(set(kept(QAPruner(), states, drawn(2, 16), k))) == k
    assert kept(QAPruner(), torch.ones(4, 8), torch.ones(1, 8), 2) == [0, 1]


def test_pictures_of_a_row_compete_and_rows_do_not():
    model, inputs = make_llava(3), mixed_batch()
    with v2drop.dropping(model, "0:8t", method="qapruner:group=16") as trace, torch.no_grad():
        model(**inputs)
    for found, (states, vision, _, after) in zip(
        trace.events[0].kept, rows_of(model, inputs), strict=True
    ):
        places: list[int] = []
        if vision:
            pictures = [36] * (len(vision) // 36)
            places = by_hand(states[vision], states[after], 8, pictures, group=16)
        assert list(found) == [vision[i] for i in places]


def test_parameters_without_a_meaning_are_refused():
    for text in ("alpha=1.5", "bits=1", "group=0"):
        with pytest.raises(UsageError, match=text.partition("=")[0]):
            get_method(f"qapruner:{text}")
    assert get_method("qapruner:alpha=0.3,bits=8").bits == 8


def test_what_it_looks_at_is_cdpruners_and_its_name_its_own():
    [caveat] = QAPruner().caveats()
    assert "qapruner" in caveat.message


def test_a_group_of_more_channels_than_there_are_is_all_of_them():
    states = torch.randn(5, 12, generator=torch.Generator().manual_seed(3))
    assert torch.equal(QAPruner(group=10**12).error(states), QAPruner(group=12).error(states))
