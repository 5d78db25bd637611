"""Phi-4 multimodal: one module is handed ids and pixels, merges them and runs the layers."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

import v2drop_cli as v2drop
from tests.families import CASES
from tests.families.loaded import loaded_case
from v2drop_cli.bench.stages import _first_of_decoder
from v2drop_cli.methods.base import EMBEDDINGS, Method
from v2drop_cli.models.registry import get_family

CASE = CASES["phi4_multimodal"]


def shown(shape="image"):
    return CASE.batch(CASE.prompts(shape))


class Reads(Method):
    """Keeps the first tokens, and notes what the decoder was given."""

    name, paper = "reads", "a test"
    needs: ClassVar[frozenset[str]] = frozenset({EMBEDDINGS})

    def __init__(self):
        self.seen = []

    def score(self, ctx):
        self.seen.append(ctx.signals.embeddings())
        return -ctx.positions.float()


@pytest.mark.parametrize("schedule", ["3:0.5", "0:0.5"])
def test_what_the_decoder_is_given_is_what_its_first_layer_is(schedule):
    model, (inputs, _), given = CASE.make("eager"), shown(), []
    handle = CASE.layers(model)[0].register_forward_pre_hook(lambda m, args: given.append(args[0]))
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    reads = Reads()
    with v2drop.dropping(model, schedule, method=reads), torch.no_grad():
        model(**inputs)
    assert torch.equal(reads.seen[0], given[0][0])


def test_the_inner_model_drops_by_itself():
    model, (inputs, vision) = CASE.make("eager"), shown()
    with v2drop.dropping(model.model, "1:0.5") as trace, torch.no_grad():
        alone = model.model(**inputs).last_hidden_state
    with v2drop.dropping(model, "1:0.5"), torch.no_grad():
        whole = model.model(**inputs).last_hidden_state
        assert model(input_ids=torch.tensor([[11, 12]])).logits.shape[1] == 2
    assert trace.events[0].before == (len(vision[0]),)
    assert torch.equal(alone, whole)


def test_the_decoder_begins_where_its_layers_do():
    """Before them the same module encodes pictures, which is no part of a prefill."""
    loaded = loaded_case("phi4_multimodal")
    assert _first_of_decoder(loaded) is CASE.layers(loaded.model)[0]
    llava = loaded_case("llava")
    assert _first_of_decoder(llava) is llava.family.decoder(llava.model)


def test_crops_cover_the_picture_and_the_whole_its_padding_too():
    """Two crops side by side, half of the second one padding: 3 of 4 columns are the picture's."""
    model, (inputs, _) = CASE.make("eager"), shown()
    [[joined, separator, whole]] = get_family("phi4_multimodal").grids(model.config, inputs)
    assert (joined.h, joined.w, joined.box) == (2, 4, (0.0, 0.0, 4 / 3, 1.0))
    assert separator.box == (1.0, 1.0, 1.0, 1.0)
    assert (whole.h, whole.w) == (2, 3)
    assert whole.box == pytest.approx((0.0, 0.0, 4 / 3 * 3 / 2, 1.0))
