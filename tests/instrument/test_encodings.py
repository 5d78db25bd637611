"""Grids inside ``generate``, which encodes pictures before the forward that drops."""

from __future__ import annotations

import copy
import inspect
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

import v2drop_cli as v2drop
from tests.families import CASES
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.instrument.encodings import Encodings, _copies, _Note
from v2drop_cli.methods.base import GRIDS, Method
from v2drop_cli.models.registry import get_family


@dataclass(frozen=True)
class LooksAtGrids(Method):
    """Keeps the first tokens, and notes the grids of each row."""

    name, paper = "looks", "a test"
    needs = frozenset({GRIDS})
    seen: list[Any] = field(default_factory=list)

    def score(self, ctx):
        self.seen.append(ctx.signals.grids())
        return -ctx.positions.float()


def looked(case, inputs, run):
    model, method = case.make("sdpa"), LooksAtGrids()
    layer = case.drops[0][0]
    with v2drop.dropping(model, f"{layer}:0.5", method=method), torch.no_grad():
        run(model, inputs)
    return method.seen


@pytest.mark.no_cover
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("shape", ["image", "ragged", "ragged-video"])
def test_generate_knows_the_grids_that_a_forward_knows(name, shape):
    case = CASES[name]
    if shape not in case.shapes:
        return
    inputs, _ = case.batch(case.prompts(shape))
    wanted = looked(case, inputs, lambda model, given: model(**given))
    found = looked(case, inputs, lambda model, given: model.generate(**given, max_new_tokens=2))
    assert found == wanted
    # Of some the processor alone knows the tiles.
    assert any(wanted) or get_family(case.family).grid_tensors


@pytest.mark.parametrize("name", ["qwen2_vl", "llava_onevision", "llava"])
def test_copies_for_beams_have_the_grids_of_their_prompt(name):
    case = CASES[name]
    inputs, _ = case.batch(case.prompts("ragged"))
    wanted = looked(case, inputs, lambda model, given: model(**given))
    beams = {"num_beams": 2, "max_new_tokens": 2}
    found = looked(case, inputs, lambda model, given: model.generate(**given, **beams))
    assert found == [grids for grids in wanted for _ in range(2)]


def test_features_of_nobody_knows_what_have_no_grids():
    case = CASES["qwen2_vl"]
    model, method = case.make("sdpa"), LooksAtGrids()
    inputs, _ = case.batch(case.prompts("image"))
    pixels = {name: inputs.pop(name) for name in ("pixel_values", "image_grid_thw")}
    with torch.no_grad():
        before = model.model.get_image_features(**pixels)
        positions = model.model.get_rope_index(**inputs, image_grid_thw=pixels["image_grid_thw"])
        with v2drop.dropping(model, "2:0.5", method=method):
            model(**inputs, mm_encoder_outputs={"image": before}, position_ids=positions[0])
            inside = model.model.get_image_features(pixels["pixel_values"], *[*pixels.values()][1:])
            model(**inputs, mm_encoder_outputs={"image": inside}, position_ids=positions[0])
    assert [grids is None for grids in method.seen] == [True, False]


def test_features_alone_have_no_grids():
    model, inputs, method = make_llava(4), one_prompt(), LooksAtGrids()
    with torch.no_grad():
        features = model.get_image_features(inputs.pop("pixel_values")).pooler_output
        alone = {"image": BaseModelOutputWithPooling(pooler_output=features)}
        with v2drop.dropping(model, "2:0.5", method=method):
            model(**inputs, mm_encoder_outputs=alone)
    assert method.seen == [None]


def test_nothing_is_left_on_the_model_and_copies_stand_alone():
    case = CASES["llava"]
    model = case.make("sdpa")
    inputs, _ = case.batch(case.prompts("image"))
    class_method = type(model.model).get_image_features
    with v2drop.dropping(model, "1:0.5", method=LooksAtGrids()):
        signature = inspect.signature(model.model.get_image_features)
        assert list(signature.parameters) == [*inspect.signature(class_method).parameters][1:]
        other = copy.deepcopy(model)
    assert not {"get_image_features", "get_video_features"} & set(vars(model.model))
    with pytest.raises(KeyError), v2drop.dropping(model, "1:0.5", method=LooksAtGrids()):
        raise KeyError
    assert not {"get_image_features", "get_video_features"} & set(vars(model.model))
    assert other.model.get_image_features.module is other.model
    with torch.no_grad():
        other.model.vision_tower.requires_grad_(False)
        for weight in other.model.vision_tower.parameters():
            weight.zero_()
        ours = model.model.get_image_features(inputs["pixel_values"]).pooler_output[0]
        theirs = other.model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    assert not torch.equal(ours, theirs)
    with v2drop.dropping(model, "1:0.5", method="random"):  # which looks at no grids
        assert "get_image_features" not in vars(model.model)


def test_notes_live_as_long_as_what_was_encoded():
    encodings, output = Encodings(), type("Output", (), {})()
    output.last_hidden_state = torch.zeros(1)
    output.pooler_output = [torch.zeros(3, 2)]
    encodings.note({"sizes": 1}, output)
    assert len(encodings._notes) == 1
    del output
    assert len(encodings._notes) == 0


@pytest.mark.parametrize(
    ("counts", "encoded", "copies"),
    [
        ([1], 1, 1),
        ([2, 1], 3, 1),
        ([2, 2, 1, 1], 3, 2),
        ([2, 1, 1, 2], 3, 0),  # copies lie side by side
        ([2, 3], 2, 0),
        ([1], 0, 0),
        ([0], 0, 0),
    ],
)
def test_rows_are_copies_where_each_prompt_is_there_as_often(counts, encoded, copies):
    class Marks:
        def vision_mask(self, config, arguments):
            return torch.tensor([[column < n for column in range(4)] for n in counts])

    assert _copies(Marks(), None, {}, encoded) == copies


def test_a_note_does_not_change():
    with pytest.raises(FrozenInstanceError):
        _Note({}, 1).tokens = 2
