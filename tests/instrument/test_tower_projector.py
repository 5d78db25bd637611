"""What the projector is given, and which crop and patch each vision token stands for.

The model is the judge: whatever its own projector makes of the states shown for a token must be
what its decoder was given at that token.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from transformers import LlavaForConditionalGeneration, SiglipVisionConfig

import v2drop_cli as v2drop
from tests.families import CASES
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.methods.base import CLASS_TOKEN, EMBEDDINGS, TOWER, Method
from v2drop_cli.prove.cases.case import build
from v2drop_cli.prove.cases.llava_onevision import tiled

CLOSE = {"atol": 1e-6, "rtol": 1e-5}


class Looks(Method):
    """Keeps the first tokens; remembers its contexts and what ``look`` found in them."""

    name, paper = "looks", "a test"
    needs: ClassVar = frozenset({TOWER, EMBEDDINGS})
    tower_layers = (0, -1, "projector", "output")

    def __init__(self, look):
        object.__setattr__(self, "look", look)
        object.__setattr__(self, "seen", [])

    def score(self, ctx):
        self.seen.append((ctx, self.look(ctx)))
        return -ctx.positions.float()


def shown(ctx):
    """A token's embedding, what the projector makes of its states, its crop."""
    row = ctx.signals.tower("projector")
    return ctx.signals.embeddings()[ctx.positions], row.project(row.hidden()), row.crop()


def looked(case, model, shape="ragged", look=shown, schedule="0:0.5", **generation):
    inputs, _ = case.batch(case.prompts(shape))
    method = Looks(look)
    with torch.no_grad(), v2drop.dropping(model, schedule, method=method):
        if generation:
            model.generate(**inputs, max_new_tokens=2, do_sample=False, **generation)
        else:
            model(**inputs)
    return method.seen


def check(seen):
    """Every token that is no separator was made of the states that are shown for it."""
    assert seen
    for _, (embeddings, projected, crop) in seen:
        own = crop >= 0
        torch.testing.assert_close(projected[own], embeddings[own], **CLOSE)


def configured(case, **values):
    """The case's model with other values in its config."""
    made = case.make("sdpa").config
    for name, value in values.items():
        setattr(made, name, value)
    return build(case.model, made, "sdpa")


@pytest.mark.parametrize("name", ["llava", "vipllava", "paligemma", "llava_next"])
@pytest.mark.parametrize("generation", [{}, {"num_beams": 1}, {"num_beams": 2}])
def test_the_projector_s_input_becomes_the_decoder_s(name, generation):
    case = CASES[name]
    model = case.make("sdpa")
    shape = "ragged"
    if generation and "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
        shape = "image"  # older releases deal the images of a row out to its beams
    check(looked(case, model, shape, **generation))


@pytest.mark.parametrize(
    "values",
    [
        {"vision_feature_layer": -1},
        {"vision_feature_layer": 1},
        {"vision_feature_layer": [0, -2, -1]},
    ],
    ids=str,
)
def test_whatever_hidden_states_the_config_names(values):
    case = CASES["llava"]
    check(looked(case, configured(case, **values)))


def siglip(layer):
    """A LLaVA whose tower has no class token."""
    case = CASES["llava"]
    config = case.make("sdpa").config
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        vision_use_head=False,
    )
    config.vision_config = vision
    config.vision_feature_layer, config.vision_feature_select_strategy = layer, "full"
    return build(LlavaForConditionalGeneration, config, "sdpa")


def test_a_llava_with_a_siglip_tower():
    check(looked(CASES["llava"], siglip(-2)))
    with pytest.raises(UnsupportedModelError, match="last norm") as caught:
        looked(CASES["llava"], siglip(-1))
    assert caught.value.hint


def test_class_tokens_are_those_of_the_row_s_pictures():
    case = CASES["llava"]
    model = case.make("sdpa")
    inputs, vision = case.batch(case.prompts("ragged"))
    with torch.no_grad():
        states = model.model.vision_tower(
            inputs["pixel_values"], output_hidden_states=True
        ).hidden_states
    seen = looked(
        case, model, look=lambda ctx: [ctx.signals.tower(at) for at in (0, "projector", "output")]
    )
    first = 0
    for row, (_, (block, projector, output)) in zip([r for r in vision if r], seen, strict=True):
        own = slice(first, first + len(row) // 16)
        torch.testing.assert_close(block.class_hidden(), states[0][own, 0])
        torch.testing.assert_close(projector.class_hidden(), states[-2][own, 0])
        torch.testing.assert_close(output.class_hidden(), states[-1][own, 0])
        assert block.crops == (1,) * (len(row) // 16)
        first = own.stop


def test_a_method_that_needs_a_class_token_is_refused_before_anything_runs():
    class Needs(Looks):
        needs: ClassVar = frozenset({TOWER, CLASS_TOKEN})

    model = CASES["paligemma"].make("sdpa")
    with (
        pytest.raises(UnsupportedModelError, match=r"siglip.* no class token") as caught,
        v2drop.dropping(model, "0:0.5", method=Needs(shown)),
    ):
        pass
    assert "random" in caught.value.hint


def test_the_projector_has_no_keys():
    with pytest.raises(InstrumentError, match="only blocks have keys"):
        looked(
            CASES["llava"],
            CASES["llava"].make("sdpa"),
            look=lambda ctx: ctx.signals.tower("projector").keys(),
        )


# Tiles ---------------------------------------------------------------------------------------


def test_tokens_of_tiles_are_told_apart_and_separators_are_nobody_s():
    case = CASES["llava_next"]
    model = case.make("eager")
    inputs, _ = case.batch(case.prompts("images"))
    with torch.no_grad():
        features = model.model.get_image_features(
            inputs["pixel_values"], inputs["image_sizes"], output_attentions=True, return_dict=True
        )

    def look(ctx):
        row = ctx.signals.tower(-1)
        return row.crops, row.by_crop(), row.crop(), row.patch(), row.class_attention()

    [(ctx, (crops, own, crop, patch, attention))] = looked(case, model, "images", look)
    assert len(crops) == len(features.pooler_output)
    assert sum(crops) == len(own) == len(features.attentions[-1])
    newline = (ctx.signals.hidden() == model.model.image_newline).all(dim=1)
    assert torch.equal(crop < 0, newline)
    assert newline.any()
    for i, index in enumerate(own):
        assert index.tolist() == [j for j, c in enumerate(crop.tolist()) if c == i]
    wanted = features.attentions[-1][crop, :, 0, 1 + patch].T
    torch.testing.assert_close(attention[:, ~newline], wanted[:, ~newline], **CLOSE)
    assert not attention[:, newline].any()


@pytest.mark.parametrize("grids", [[[16, 48], [48, 16]], [[48, 16], [16, 48]]])
def test_where_counts_do_not_tell_the_tiling_the_features_do(grids):
    """12 rows of 2 tokens in three tiles, or 4 rows of 8: with newlines both are 36, of 4 crops."""
    case = replace(CASES["llava_next"], image=lambda seed: tiled((48, 8), 4, 16 + 36, seed))
    model = configured(case, image_grid_pinpoints=grids)
    check(looked(case, model, "images", num_beams=2))


@pytest.mark.parametrize("tiles", [(1, 2), (2, 1), (2, 2), (1, 3), (3, 1)])
def test_every_tiling_of_the_published_sizes_is_among_those_found_by_counts(tiles):
    from v2drop_cli.models.families.llava_next import _tiled, _tilings

    config = CASES["llava_next"].make("sdpa").config
    config.vision_config.image_size, config.vision_config.patch_size = 336, 14
    config.image_grid_pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    height, width = 336 * tiles[0], 336 * tiles[1]
    for size in [(height, width), (height, width - 37), (height - 61, width), (height // 2, 500)]:
        found = _tiled(config, size, 24)
        assert found in _tilings(config, 576 + found[2] * (found[3] + 1), 24)
