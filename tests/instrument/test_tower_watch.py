"""What is watched in a vision tower and whose pictures it shows, on a tower made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.hooks import Before
from v2drop_cli.instrument.tower import TowerWatch, _copies
from v2drop_cli.methods.base import CLASS_TOKEN, TOWER, Method
from v2drop_cli.models.projections import Crops, Tower

BLOCKS, SIZE = 4, 2
# Patches 1 to 3 of 4 are handed on.
PLAIN = Crops(1, torch.zeros(3, dtype=torch.long), torch.arange(3))


def one_crop(config, encoded):
    return [[PLAIN] * encoded.pictures]


def watch_of(layers=(-1,), needs=(TOWER,), token=0, features=(1,), layouts=one_crop, **more):
    blocks = [torch.nn.Identity() for _ in range(BLOCKS)]
    how = Tower(
        layers=lambda tower: blocks,
        patches=lambda config, count: torch.arange(1, count),
        class_token=lambda config: token,
        features=lambda config: features,
        layouts=layouts,
        sides=lambda patches: (patches, 1),
        **more,
    )
    family = SimpleNamespace(
        name="made-up",
        tower=how,
        vision_tower=lambda model: "tower",
        projector=lambda model: torch.nn.Identity(),
        multimodal=lambda model: "multimodal",
    )
    config = SimpleNamespace(vision_config=SimpleNamespace(model_type="made-up"))
    asked = {"name": "looks", "paper": "a test", "needs": frozenset(needs), "tower_layers": layers}
    method = type("Looks", (Method,), asked)()
    return TowerWatch.of(family, config, "model", method)


def states(pictures, block, first=0):
    """`[pictures, 4, 2]`: which picture, patch and block a state is of."""
    found = torch.zeros(pictures, 4, SIZE)
    found[..., 0] = torch.arange(first, first + pictures)[:, None] * 10 + torch.arange(4)
    found[..., 1] = block
    return found


def encode(watch, pictures=1, first=0, as_tuple=False):
    """The tower runs; returns its output."""
    for block in watch.modules:
        watch._noting(block)((states(pictures, block, first),), {})
    last = states(pictures, 99, first)
    output = (last,) if as_tuple else SimpleNamespace(last_hidden_state=last)
    watch._encoded(output)
    return output


def given(output, *features):
    """Features made before the forward, as `generate` hands them over."""
    return SimpleNamespace(last_hidden_state=output.last_hidden_state, pooler_output=features)


def shown(watch, layer, tokens=(3,), row=0, order=(0, 2), **call):
    vision = torch.zeros(len(tokens), max(tokens), dtype=torch.bool)
    for b, count in enumerate(tokens):
        vision[b, :count] = True
    return watch.row(layer, vision, row, torch.tensor(order), call)


# What is watched -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "more", "watched"),
    [
        ((-1,), {}, {3}),
        ((0, -2, 2), {}, {0, 2}),
        (("projector",), {}, {1}),
        (("projector", 3), {"features": (0, 2)}, {0, 2, 3}),
        (("projector",), {"features": (None,)}, set()),
        (("output",), {}, set()),
        ((-1,), {"tiled": True}, {1, 3}),
    ],
)
def test_blocks_whose_input_is_wanted(layers, more, watched):
    watch = watch_of(layers, **more)
    assert set(watch.modules) == watched
    inputs = [hook for hook in watch.hooks() if isinstance(hook, Before)]
    assert len(inputs) == 1 + len(watched)


@pytest.mark.parametrize("layer", [-5, 4, 7])
def test_a_block_that_is_not_there_is_refused(layer):
    with pytest.raises(InstrumentError, match=f"4 blocks, no {layer}"):
        watch_of((layer,))


def test_what_nobody_keeps_or_has_is_refused():
    with pytest.raises(UnsupportedModelError, match="last norm"):
        watch_of(("projector",), features=(4,))
    with pytest.raises(UnsupportedModelError, match="no class token"):
        watch_of(needs=(TOWER, CLASS_TOKEN), token=None)
    watch_of(needs=(TOWER, CLASS_TOKEN))
    watch_of(token=None)
    with pytest.raises(UnsupportedModelError, match="signals of made-up: broken"):
        watch_of(refusal=lambda config: "broken")


# What is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize("as_tuple", [True, False])
def test_each_layer_shows_what_entered_it(as_tuple):
    watch = watch_of((0, -1, "projector", "output"), features=(1, None))
    encode(watch, as_tuple=as_tuple)
    for layer, block in ((0, 0), (-1, 3), ("output", 99)):
        row = shown(watch, layer)
        assert row.hidden().tolist() == [[1, block], [3, block]]
        assert (row.module is None) == (layer == "output")
    assert shown(watch, "projector").hidden().tolist() == [[1, 1, 1, 99], [3, 1, 3, 99]]
    single = watch_of(("projector",), features=(None,))
    encode(single)
    assert shown(single, "projector").hidden().tolist() == [[1, 99], [3, 99]]


def test_rows_have_their_own_pictures():
    watch = watch_of()
    encode(watch, 3)
    assert shown(watch, -1, (3, 6), 0).hidden()[:, 0].tolist() == [1, 3]
    second = shown(watch, -1, (3, 6), 1, (0, 2, 3, 5))
    assert second.hidden()[:, 0].tolist() == [11, 13, 21, 23]
    assert second.crops == (1, 1)
    assert second.states.shape[0] == 2


@pytest.mark.parametrize(
    ("layer", "named"), [(0, "block 0"), ("output", "the output"), (3, "block 3")]
)
def test_a_layer_that_was_not_named_is_refused(layer, named):
    watch = watch_of((-1,))
    encode(watch)
    with pytest.raises(InstrumentError, match=f"{named} of the vision tower is not watched"):
        shown(watch, layer)


def test_copies_of_a_prompt_share_its_pictures():
    watch = watch_of()
    output = encode(watch, 2)
    features = torch.arange(6.0)[:, None].repeat(2, 1)
    one, other = features[:3], features[3:6]
    rows = given(output, one, one, other, other)
    for row, first in enumerate((0, 0, 10, 10)):
        found = shown(watch, -1, (3, 3, 3, 3), row, mm_encoder_outputs={"image": rows})
        assert found.hidden()[:, 0].tolist() == [first + 1, first + 3]
    mixed = given(output, one, other, one, other)
    with pytest.raises(InstrumentError, match="should be copies"):
        shown(watch, -1, (3, 3, 3, 3), 0, mm_encoder_outputs={"image": mixed})


@pytest.mark.parametrize("right", [0, 1, 2])
def test_of_several_layouts_the_features_tell_which_it_is(right):
    turns = [torch.tensor(patches) for patches in ([0, 1, 2], [2, 1, 0], [1, 2, 0])]
    for count in (right + 1, 3):
        options = [[Crops(1, torch.zeros(3, dtype=torch.long), turn)] for turn in turns[:count]]
        watch = watch_of(tiled=True, layouts=lambda config, encoded, made=options: made)
        output = encode(watch)
        features = states(1, 1)[0, 1:][turns[right]]
        found = shown(
            watch, -1, order=(0, 1, 2), mm_encoder_outputs={"image": given(output, features)}
        )
        assert found.patch().tolist() == turns[right].tolist()


def test_no_layout_is_refused():
    watch = watch_of(layouts=lambda config, encoded: [])
    encode(watch)
    with pytest.raises(InstrumentError, match="not those of the pictures") as caught:
        shown(watch, -1)
    assert caught.value.hint


# Whose pictures they are ---------------------------------------------------------------------

NOT_ITS_OWN = "did not encode this forward's pictures"


def test_pictures_of_two_encodings_or_none_are_refused():
    watch = watch_of()
    for pictures in (0, 2):
        for _ in range(pictures):
            encode(watch)
        with pytest.raises(InstrumentError, match=NOT_ITS_OWN) as caught:
            shown(watch, -1)
        assert caught.value.hint
    watch._forget()
    encode(watch)
    assert shown(watch, -1).hidden()[:, 0].tolist() == [1, 3]


def test_features_made_before_find_their_own_encoding():
    watch = watch_of()
    first, second = encode(watch), encode(watch, first=5)
    watch._forget()
    for output, begins in ((second, 50), (first, 0)):
        call = {"image": given(output), "video": None}
        found = shown(watch, -1, mm_encoder_outputs=call)
        assert found.hidden()[:, 0].tolist() == [begins + 1, begins + 3]


def test_features_of_pictures_and_videos_together_are_refused():
    watch = watch_of()
    output = encode(watch)
    unknown = SimpleNamespace(last_hidden_state=torch.zeros(1), pooler_output=())
    bare = SimpleNamespace()
    for other in (unknown, bare, given(output)):
        with pytest.raises(InstrumentError, match=NOT_ITS_OWN):
            shown(watch, -1, mm_encoder_outputs={"image": given(output), "video": other})
    for alone in (unknown, bare):
        with pytest.raises(InstrumentError, match=NOT_ITS_OWN):
            shown(watch, -1, mm_encoder_outputs={"image": alone})


def test_a_tower_that_raised_leaves_nothing_behind():
    watch = watch_of()
    watch._noting(3)((states(1, 3, first=7),), {})
    watch._encoded(None)
    assert watch._inside == []
    encode(watch)
    assert shown(watch, -1).hidden()[:, 0].tolist() == [1, 3]


def test_a_block_called_by_keyword_is_noted_too():
    watch = watch_of()
    watch._noting(3)((), {"hidden_states": states(1, 3)})
    watch._encoded((states(1, 99),))
    assert shown(watch, -1).hidden()[:, 0].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("tokens", "encoded", "copies"),
    [([36], 36, 1), ([36, 72], 108, 1), ([36, 0], 36, 1), ([4], 4, 1)],
)
def test_one_row_of_each_prompt(tokens, encoded, copies):
    assert _copies(tokens, encoded, []) == copies


@pytest.mark.parametrize(
    ("tokens", "encoded"), [([36], 72), ([36, 36], 108), ([72, 36], 36), ([36, 72, 36, 72], 108)]
)
def test_pictures_that_do_not_make_up_the_rows(tokens, encoded):
    with pytest.raises(InstrumentError, match=f"{sum(tokens)} vision tokens.*{encoded}") as caught:
        _copies(tokens, encoded, [])
    assert caught.value.hint
