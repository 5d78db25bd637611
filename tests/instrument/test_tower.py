"""Vision-tower signals are those of the running forward's own pictures, or refused by name."""

from __future__ import annotations

import inspect
import weakref
from typing import ClassVar

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.tiny_llava import PATCHES, batch, make_llava, mixed_batch, pictures, row
from v2drop_cli.errors import InstrumentError
from v2drop_cli.methods.base import TOWER, Method

FEATURES = "mm_encoder_outputs"  # of features encoded before the forward
NOT_ITS_OWN = "did not encode this forward's pictures"


class Patches(Method):
    """Keeps the first tokens; remembers what entered the tower's last block at all of them."""

    name, paper = "patches", "a test"
    needs: ClassVar = frozenset({TOWER})
    tower_layers = (-1,)

    def __init__(self):
        object.__setattr__(self, "seen", [])

    def score(self, ctx):
        self.seen.append(ctx.signals.tower(-1).hidden())
        return -ctx.positions.float()


def entered_last_block(model, pixels):
    """``[pictures, patches, D]``, from the tower itself, without the class token.

    The model must not be in a context, which would warn of pixels that no forward got.
    """
    with torch.no_grad():
        return model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]


def taking_features(model):
    if FEATURES not in inspect.signature(model.forward).parameters:
        pytest.skip("this release of transformers takes no features encoded before")
    return model


@pytest.fixture
def llava():
    return taking_features(make_llava(4))


@pytest.fixture
def inside(llava):
    """An open context, and what its method saw."""
    method = Patches()
    with torch.no_grad(), v2drop.dropping(llava, "1:0.5", method=method):
        yield method.seen


def encoded(model, pixels):
    return {"image": model.model.get_image_features(pixels, return_dict=True)}


def text_of(inputs):
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


ONE = batch([row(5, 1, 4, 0)])


def feed(model, features, inputs=ONE):
    return model(**text_of(inputs), **{FEATURES: features})


def test_each_of_two_forwards_sees_its_own_pictures(llava, inside):
    for seed in (1, 2):
        llava(**text_of(ONE), pixel_values=pictures(1, seed))
    wanted = [entered_last_block(make_llava(4), pictures(1, seed))[0] for seed in (1, 2)]
    torch.testing.assert_close(inside, wanted)


@pytest.mark.parametrize("order", [(1, 2), (2, 1), (2, 2, 1)])
def test_features_encoded_inside_the_context_find_their_tower_whatever_the_order(
    llava, inside, order
):
    features = {seed: encoded(llava, pictures(1, seed)) for seed in (1, 2)}
    for seed in order:
        feed(llava, features[seed])
    wanted = [entered_last_block(make_llava(4), pictures(1, seed))[0] for seed in order]
    torch.testing.assert_close(inside, wanted)


@pytest.mark.parametrize("before", ["nothing", "a forward", "an encoding"])
def test_features_encoded_outside_of_the_context_are_refused(llava, before):
    features = encoded(llava, pictures(1, 2))
    method = Patches()
    with torch.no_grad(), v2drop.dropping(llava, "1:0.5", method=method):
        if before == "a forward":
            llava(**ONE)
        kept_alive = encoded(llava, pictures(1, 1)) if before == "an encoding" else None
        with pytest.raises(InstrumentError, match=NOT_ITS_OWN) as caught:
            feed(llava, features)
        if kept_alive:
            feed(llava, kept_alive)
    assert caught.value.hint


def test_features_without_the_tower_s_output_are_refused(llava, inside):
    features = encoded(llava, pictures(1, 1))
    features["image"].last_hidden_state = None
    with pytest.raises(InstrumentError, match=NOT_ITS_OWN):
        feed(llava, features)


def test_a_forward_that_raises_leaves_no_pictures_to_the_next(llava, inside):
    features = encoded(llava, pictures(1, 1))
    layer = llava.model.language_model.layers[0]

    def fails(*args):
        raise RuntimeError("full")

    handle = layer.register_forward_pre_hook(fails)
    with pytest.raises(RuntimeError, match="full"):
        llava(**ONE)
    handle.remove()
    feed(llava, features)
    torch.testing.assert_close(inside, [entered_last_block(make_llava(4), pictures(1, 1))[0]])


def test_pictures_that_do_not_make_up_the_rows_are_refused(llava, inside):
    """Two rows, two pictures encoded one by one, their features put together by hand."""
    both = encoded(llava, pictures(1, 1))
    both["image"].pooler_output = [
        *both["image"].pooler_output,
        *encoded(llava, pictures(1, 2))["image"].pooler_output,
    ]
    with pytest.raises(InstrumentError, match="should be copies"):
        feed(llava, both, batch([row(3, 1, 5, 0), row(3, 1, 5, 1)]))
    three = encoded(llava, pictures(2, 1))
    three["image"].pooler_output = [three["image"].pooler_output[i] for i in (0, 1, 1)]
    with pytest.raises(InstrumentError, match=f"{3 * PATCHES} vision tokens.*{2 * PATCHES}"):
        feed(llava, three, batch([row(3, 1, 5, i) for i in range(3)]))


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 2},
        {"num_return_sequences": 3, "do_sample": True},
        {"num_beams": 2, "use_cache": False},
        {"num_beams": 4, "num_return_sequences": 2, "do_sample": True},
    ],
    ids=["beams", "sequences", "no cache", "sampled beams"],
)
@pytest.mark.parametrize("side", ["left", "one"])
def test_rows_of_beams_and_sequences_see_their_prompt_s_pictures(options, side):
    model = make_llava(4)
    # One image a row at most: transformers 5.17 deals the images of a row out to its beams.
    rows = [row(3, 1, 5, 0), row(9, 0, 3, 2), row(11, 1, 2, 3)]
    inputs = batch(rows[:1] if side == "one" else rows)
    wanted = entered_last_block(model, inputs["pixel_values"])
    copies = max(options.get("num_beams", 1), options.get("num_return_sequences", 1))
    method = Patches()
    with v2drop.dropping(model, "1:0.5", method=method):
        model.generate(**inputs, max_new_tokens=3, **{"do_sample": False, **options})
    seen = method.seen[: len(wanted) * copies]
    torch.testing.assert_close(seen, [picture for picture in wanted for _ in range(copies)])
    again = method.seen[len(seen) :]
    assert (options.get("use_cache", True)) == (not again)
    torch.testing.assert_close(again, seen * (len(again) // len(seen)))


def test_several_pictures_of_a_prompt_go_to_each_of_its_copies(llava):
    inputs = mixed_batch()
    method = Patches()
    with v2drop.dropping(llava, "1:0.5", method=method):
        llava.generate(**inputs, max_new_tokens=2, num_beams=2, do_sample=False)
    one, two, three, four = entered_last_block(llava, inputs["pixel_values"])
    wanted = [p for p in (one, torch.cat([two, three]), four) for _ in range(2)]
    torch.testing.assert_close(method.seen, wanted)


def test_a_tower_without_a_class_token_serves_beams_too():
    case = CASES["paligemma"]
    model = taking_features(case.make("sdpa"))
    inputs, vision = case.batch(case.prompts("ragged"))
    with torch.no_grad():
        tower = model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True)
    patches = tower.hidden_states[-2].flatten(0, 1)
    method = Patches()
    with v2drop.dropping(model, f"{case.drops[0][0]}:0.5", method=method):
        model.generate(**inputs, max_new_tokens=2, num_beams=2, do_sample=False)
    wanted = [part for part in patches.split([len(row) for row in vision]) if len(part)]
    torch.testing.assert_close(method.seen, [part for part in wanted for _ in range(2)])


def test_what_entered_the_tower_is_let_go_with_the_features(llava, inside):
    block = llava.model.vision_tower.encoder.layers[-1]
    entered = []
    handle = block.register_forward_pre_hook(lambda m, args: entered.append(weakref.ref(args[0])))
    features = encoded(llava, pictures(1, 1))
    llava(**ONE)
    handle.remove()
    assert entered[0]() is not None
    assert entered[1]() is None
    del features
    assert entered[0]() is None
