"""Fake quantisation against plain NumPy; and that nothing of it is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import v2drop_cli as v2drop
from tests.checkpoints import save_checkpoint
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.models.bits import Bits
from v2drop_cli.models.fake_quant import (
    FakeQuantLinear,
    fake_quantize,
    fake_quantized,
    rounded_weight,
)
from v2drop_cli.models.registry import family_for


def on_grid(values, bits):
    """Each row of ``[..., n]`` in steps of its largest number over ``2^(bits-1) - 1``."""
    most = 2 ** (bits - 1) - 1
    out = np.zeros_like(values)
    for place in np.ndindex(*values.shape[:-1]):
        row = values[place]
        step = np.abs(row).max() / np.float32(most)
        out[place] = np.rint(row / step) * step if step > 0 else row
    return out


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("inputs", [5, 128, 300])
def test_weights_are_rounded_in_groups_of_128_inputs(bits, inputs):
    weight = torch.randn(3, inputs, generator=torch.Generator().manual_seed(bits))
    weight[1] = 0
    found = rounded_weight(weight, bits).numpy()
    groups = [weight.numpy()[:, at : at + 128] for at in range(0, inputs, 128)]
    expected = np.concatenate([on_grid(group, bits) for group in groups], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for row in found[:, :128]:  # no more values than the grid has
        assert len(np.unique(row)) <= 2**bits - 1


@pytest.mark.parametrize("text", ["w4a4", "w16a4", "w4a16", "w8a2", "w16a16"])
def test_a_layer_multiplies_rounded_tokens_with_rounded_weights(text):
    bits = Bits.parse(text)
    torch.manual_seed(0)
    linear, tokens = nn.Linear(200, 7), torch.randn(2, 5, 200)
    tokens[0, 1] = 0
    with torch.no_grad():
        found = FakeQuantLinear(linear, bits)(tokens).numpy()
        weight, given = linear.weight.numpy(), tokens.numpy()
    if bits.weights < 16:
        halves = [on_grid(part, bits.weights) for part in (weight[:, :128], weight[:, 128:])]
        weight = np.concatenate(halves, axis=1)
    if bits.activations < 16:
        given = on_grid(given, bits.activations)
    np.testing.assert_allclose(found, given @ weight.T + linear.bias.detach().numpy(), atol=1e-5)


def test_a_token_depends_on_no_other_and_the_dtype_stays():
    torch.manual_seed(0)
    layer = FakeQuantLinear(nn.Linear(64, 8).bfloat16(), Bits(4, 4))
    tokens = torch.randn(6, 64).bfloat16()
    with torch.no_grad():
        assert torch.equal(layer(tokens)[2:3], layer(tokens[2:3]))
        assert layer(tokens).dtype == torch.bfloat16


def parts(model):
    """Every module and tensor of a model, by name: the very objects."""
    return {
        **{f"module {name}": id(module) for name, module in model.named_modules()},
        **{f"tensor {name}": id(tensor) for name, tensor in model.named_parameters()},
    }


def test_only_the_linear_layers_of_the_decoder_change_and_all_of_it_is_undone():
    model = make_llava(3)
    family, inputs = family_for(model.config), one_prompt()
    before = parts(model)
    projections = [f"self_attn.{one}" for one in "qkvo"]
    projections += [f"mlp.{one}" for one in ("gate", "up", "down")]
    with torch.no_grad():
        dense = model(**inputs).logits
        with fake_quantized(model, family, Bits(4, 4)):
            changed = {name for name, part in parts(model).items() if before[name] != part}
            assert not torch.equal(model(**inputs).logits, dense)
        assert parts(model) == before
        assert torch.equal(model(**inputs).logits, dense)
    assert {name.partition(" ")[2].removesuffix(".weight") for name in changed} == {
        f"model.language_model.layers.{at}.{part}_proj" for at in range(3) for part in projections
    }


def test_an_error_inside_leaves_nothing_either():
    model = make_llava(2)
    before = parts(model)
    with (
        pytest.raises(ZeroDivisionError),
        fake_quantized(model, family_for(model.config), Bits(4, 4)),
    ):
        raise ZeroDivisionError
    assert parts(model) == before


def test_sixteen_bits_are_the_model_as_it_is_and_fewer_are_further_from_it():
    model = make_llava(3)
    family, inputs = family_for(model.config), one_prompt()
    far = []
    with torch.no_grad():
        dense = model(**inputs).logits
        for text in ("w16a16", "w8a8", "w4a4", "w2a2"):
            with fake_quantized(model, family, Bits.parse(text)):
                far.append(float((model(**inputs).logits - dense).square().mean()))
    assert far[0] == 0
    assert far == sorted(far)
    assert far[1] > 0


def test_dropping_works_in_it_and_scores_what_it_computes():
    model = make_llava(6)
    family, inputs = family_for(model.config), one_prompt()
    with torch.no_grad(), fake_quantized(model, family, Bits(4, 4)):
        states = model(**inputs, output_hidden_states=True).hidden_states
        with v2drop.dropping(model, "3:0.5") as trace:
            model(**inputs)
    tokens = (inputs["input_ids"][0] == model.config.image_token_id).nonzero()[:, 0].tolist()
    moved = (states[3] - states[2])[0].norm(dim=-1)
    best = sorted(tokens, key=lambda at: -float(moved[at]))[: len(tokens) // 2]
    assert set(trace.events[0].kept[0]) == set(best)


def test_rows_of_attention_that_are_made_again_are_those_of_the_quantised_model():
    model = make_llava(4, attn="eager")
    family, inputs = family_for(model.config), one_prompt()
    with torch.no_grad(), fake_quantized(model, family, Bits(4, 4)):
        row = model(**inputs, output_attentions=True).attentions[1][0, :, -1].mean(dim=0)
        with v2drop.dropping(model, "2:9t", method="fastv") as trace:
            model(**inputs)
    tokens = (inputs["input_ids"][0] == model.config.image_token_id).nonzero()[:, 0].tolist()
    assert set(trace.events[0].kept[0]) == set(sorted(tokens, key=lambda at: -float(row[at]))[:9])


def test_weights_outside_of_linear_layers_and_quantised_ones_are_refused_by_name():
    family = family_for(make_llava(1).config)
    model = make_llava(1)
    model.model.language_model.layers[0].mlp.up_proj = nn.Bilinear(2, 2, 2)
    before = parts(model)
    with pytest.raises(UnsupportedModelError, match="Bilinear") as caught:
        fake_quantize(model, family, Bits(4, 4))
    assert "--fake-quant" in caught.value.hint
    assert parts(model) == before
    twice = make_llava(1)
    fake_quantize(twice, family, Bits(4, 4))
    with pytest.raises(UnsupportedModelError, match="FakeQuantLinear"):
        fake_quantize(twice, family, Bits(4, 4))


@pytest.mark.parametrize("text", ["", "w4", "a4w4", "w1a4", "w9a4", "w4a15", "w4a4 ", "W4A4"])
def test_what_is_no_number_of_bits_is_refused_before_anything_is_loaded(text):
    with pytest.raises(UsageError) as caught:
        v2drop.load("tiny", fake_quant=text)
    assert repr(text) in caught.value.message
    assert "w4a4" in caught.value.hint


def test_load_takes_it_and_says_so(tmp_path):
    path = str(save_checkpoint(tmp_path, n_layers=2))
    plain, loaded = (
        v2drop.load(path, device="cpu"),
        v2drop.load(path, device="cpu", fake_quant="w4a4"),
    )
    assert (plain.fake_quant, loaded.fake_quant) == (None, "w4a4")
    [caveat] = [one for one in loaded.caveats if one.code == "fake_quant"]
    assert caveat.message.startswith("w4a4 is simulated")
    quantised = {type(m) for m in loaded.family.decoder(loaded.model).modules()}
    assert FakeQuantLinear in quantised
    assert nn.Linear not in quantised
    assert "fake_quant" not in {one.code for one in plain.caveats}
