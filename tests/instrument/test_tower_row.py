"""One row of the vision tower, on pictures and patches that can be counted by hand."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import pytest
import torch

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.tower_merging import Merged
from v2drop_cli.instrument.tower_row import RowCrops, TowerRow, project, settled
from v2drop_cli.models.projections import Crops, Projections

# Patches 1 to 4 of 5 are handed on; patch 0 is the class token's place.
HANDED = torch.arange(1, 5)
PLAIN = Crops(1, torch.zeros(4, dtype=torch.long), torch.arange(4))
# A thumbnail of two tokens, then two tiles with a separator behind each of them.
TILED = Crops(3, torch.tensor([0, 0, 1, 1, -1, 2, -1]), torch.tensor([0, 3, 0, 1, 0, 2, 0]))


def row_crops(layout, start, count, order):
    return RowCrops.of(layout, start, count, torch.tensor(order), HANDED)


def test_the_row_takes_its_own_pictures_of_all_that_were_encoded():
    layout = [PLAIN, TILED, PLAIN]
    first = row_crops(layout, 0, 4, [0, 3])
    assert (first.first, first.counts, first.patches) == (0, (1,), 4)
    assert first.crop.tolist() == [0, 0]
    assert first.patch.tolist() == [0, 3]
    assert first.place.tolist() == [1, 4]
    assert first.separators is None
    both = row_crops(layout, 4, 11, [0, 3, 4, 5, 6, 7, 10])
    assert (both.first, both.counts) == (1, (3, 1))
    assert both.crop.tolist() == [0, 1, -1, 2, -1, 3, 3]
    assert both.patch.tolist() == [0, 1, 0, 2, 0, 0, 3]
    assert both.place.tolist() == [1, 2, 1, 3, 1, 1, 4]
    assert both.separators.tolist() == [False, False, True, False, True, False, False]
    last = row_crops(layout, 11, 4, [1])
    assert (last.first, last.counts, last.place.tolist()) == (4, (1,), [2])


@pytest.mark.parametrize(
    ("start", "count"), [(2, 4), (0, 2), (0, 9), (4, 1), (4, 4), (-1, 4), (9, 4), (1, 7)]
)
def test_parts_of_images_are_refused(start, count):
    with pytest.raises(InstrumentError, match="whole images"):
        row_crops([PLAIN, TILED], start, count, [0])


# One block -----------------------------------------------------------------------------------

HEADS, SIZE = 2, 3


class Block(torch.nn.Module):
    """Its norm doubles, its queries and keys are matrices for each head."""

    scale = 0.5

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.q, self.k = torch.randn(2, HEADS, SIZE, SIZE, generator=draw)


HOW = Projections(
    norm=lambda block: lambda states: 2 * states,
    attention=lambda block: block,
    queries=lambda block, states: states @ block.q,
    keys=lambda block, states: states @ block.k,
    scaling=lambda block: block.scale,
)


def states_of(pictures):
    return torch.randn(pictures, 5, SIZE, generator=torch.Generator().manual_seed(1))


def tower_row(row, module=None, class_token=0, projector=None):
    return TowerRow(HOW, module, projector, states_of(sum(row.counts)), row, class_token)


SEPARATED = row_crops([TILED, PLAIN], 0, 11, [0, 3, 4, 5, 10])
TWO = row_crops([PLAIN, PLAIN], 0, 8, [1, 2, 7])


def test_what_entered_at_the_patches_and_nothing_at_separators():
    row = tower_row(SEPARATED)
    states = states_of(4)
    wanted = [states[0, 1], states[1, 2], torch.zeros(SIZE), states[2, 3], states[3, 4]]
    torch.testing.assert_close(row.hidden(), torch.stack(wanted))
    assert torch.equal(row.class_hidden(), states[:, 0])
    assert torch.equal(tower_row(TWO).hidden(), states_of(2)[[0, 0, 1], [2, 3, 4]])
    assert (row.crops, row.patches) == ((3, 1), 4)
    assert row.crop() is SEPARATED.crop
    assert row.patch() is SEPARATED.patch


@pytest.mark.parametrize("crops", [TWO, SEPARATED], ids=["plain", "separated"])
def test_keys_and_attention_by_hand(crops):
    block = Block()
    row, states = tower_row(crops, block), states_of(sum(crops.counts))
    keys, attention = row.keys(), row.class_attention()
    assert keys.shape == (HEADS, len(crops.crop), SIZE)
    for token, (crop, place) in enumerate(
        zip(crops.crop.tolist(), crops.place.tolist(), strict=True)
    ):
        for head in range(HEADS):
            if crop < 0:
                assert attention[head, token] == 0
                continue
            picture = 2 * states[crop]
            torch.testing.assert_close(keys[head, token], picture[place] @ block.k[head])
            asked, all_keys = picture[0] @ block.q[head], picture @ block.k[head]
            wanted = (all_keys @ asked * block.scale).softmax(0)[place]
            torch.testing.assert_close(attention[head, token], wanted)


def test_tokens_of_each_picture():
    found = tower_row(SEPARATED).by_crop()
    assert [one.tolist() for one in found] == [[0], [1], [3], [4]]
    assert [one.tolist() for one in tower_row(TWO).by_crop()] == [[0, 1], [2]]
    one = row_crops([PLAIN], 0, 4, [1, 3])
    assert [found.tolist() for found in tower_row(one).by_crop()] == [[0, 1]]
    lonely = Crops(1, torch.tensor([0, -1, 0]), torch.tensor([2, 0, 1]))
    row = tower_row(row_crops([lonely], 0, 3, [0, 1, 2]))
    assert [found.tolist() for found in row.by_crop()] == [[0, 2]]
    unseen = row_crops([PLAIN, PLAIN], 0, 8, [5])
    assert [found.tolist() for found in tower_row(unseen).by_crop()] == [[], [0]]


def test_what_a_tower_does_not_have_is_refused():
    with pytest.raises(InstrumentError, match="only blocks"):
        tower_row(TWO).keys()
    for ask in ("class_attention", "class_hidden"):
        with pytest.raises(UnsupportedModelError, match="no class token"):
            getattr(tower_row(TWO, Block(), class_token=None), ask)()


def test_rows_are_values():
    for value in (TWO, tower_row(TWO)):
        with pytest.raises(FrozenInstanceError):
            setattr(value, "patches" if value is TWO else "states", 1)


# The projector -------------------------------------------------------------------------------


def test_features_are_projected_in_the_models_dtype_past_hooks():
    projector, hooked = torch.nn.Linear(SIZE, 2).double(), []
    projector.register_forward_hook(lambda *given: hooked.append(given))
    features = torch.ones(4, SIZE, dtype=torch.float64)
    assert torch.equal(project(projector, features), projector.forward(features))
    row = TowerRow(HOW, None, projector, states_of(2).double(), TWO, 0)
    assert row.project(features.float()).dtype == torch.float64
    assert hooked == []
    fetched = [torch.empty(1, device="meta")]  # weights that come to the input for each call
    offloaded = SimpleNamespace(parameters=lambda: fetched, forward=lambda x: x)
    assert project(offloaded, features) is features
    assert project(SimpleNamespace(parameters=list, forward=lambda x: x), features) is features


def test_of_several_layouts_the_one_that_made_the_features():
    projected = torch.arange(8.0).view(2, 4, 1)
    straight = Crops(2, torch.tensor([0, 0, -1, 1]), torch.tensor([0, 1, 0, 2]))
    turned = Crops(2, torch.tensor([1, 0, -1, 0]), torch.tensor([0, 1, 0, 2]))
    features = torch.tensor([[0.0], [1.0], [99.0], [6.0]])  # a separator's is its own
    assert settled([[straight], [turned]], projected, features) == [straight]
    assert settled([[turned], [straight]], projected, features) == [straight]
    other = torch.tensor([[4.0], [1.0], [99.0], [2.0]])
    assert settled([[straight], [turned]], projected, other.half()) == [turned]


# A model spread over devices -------------------------------------------------------------------


def test_all_that_is_told_is_where_the_decoder_is():
    """The tower is on the CPU here, and a decoder that is nowhere takes what it is given."""
    nowhere = torch.device("meta")
    projector = torch.nn.Linear(SIZE, 2)
    for crops in (TWO, SEPARATED):
        row = replace(tower_row(crops, Block(), projector=projector), device=nowhere)
        told = [
            row.crop(), row.patch(), row.hidden(), row.class_hidden(), row.keys(),
            row.class_attention(), row.left().index, row.project(torch.ones(3, SIZE)),
        ]  # fmt: skip
        assert {tensor.device for tensor in (*told, *row.by_crop())} == {nowhere}
    one = row_crops([PLAIN], 0, 4, [1, 3])
    assert replace(tower_row(one), device=nowhere).by_crop()[0].device == nowhere


def test_what_merging_left_is_told_there_too():
    into = torch.tensor([[0, 2, 2, 1, 1]])
    merged = Merged(torch.tensor([[0, 3, 1]]), into, (3,))
    row = replace(tower_row(row_crops([PLAIN], 0, 4, [0, 1, 2, 3])), merged=merged)
    there = replace(row, device=torch.device("meta")).left()
    here = row.left()
    assert (there.index.device.type, there.sources.device.type) == ("meta", "meta")
    assert (there.index.shape, there.sources.shape) == (here.index.shape, here.sources.shape)
    assert there.in_order == here.in_order
    assert here.sources.device.type == "cpu"


def test_a_block_is_asked_where_its_weights_are():
    """What entered it may still be where the block before it ran: on the CPU here."""

    class Elsewhere(Block):
        def __init__(self):
            super().__init__()
            self.q, self.k = self.q.to("meta"), self.k.to("meta")

        def parameters(self):
            return iter([Elsewhere.weight])

    Elsewhere.weight = SimpleNamespace(device=torch.device("meta", 0))
    row = tower_row(SEPARATED, Elsewhere())
    assert (row.keys().device.type, row.class_attention().device.type) == ("meta", "meta")
