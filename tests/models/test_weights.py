"""Weights that are not all there are refused by name; those that are load without a word."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
import transformers

import v2drop_cli as v2drop
from tests.checkpoints import edit_json, edit_weights, save_checkpoint, small_llava
from tests.families import CASES
from v2drop_cli.errors import ModelError
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.names import resolve
from v2drop_cli.models.releases import release
from v2drop_cli.models.weights import load_trained

PROJECTOR = "multi_modal_projector"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def load(folder):
    return v2drop.load(str(folder), device="cpu")


def without(*parts):
    """Leave out the tensors whose name holds one of `parts`."""
    return lambda weights: {k: v for k, v in weights.items() if not any(p in k for p in parts)}


def prefixed(prefix):
    return lambda weights: {prefix + name: tensor for name, tensor in weights.items()}


def reshaped(part):
    return lambda weights: {k: v[..., 1:].clone() if part in k else v for k, v in weights.items()}


@pytest.mark.parametrize("name", CASES)
def test_every_familys_saved_model_loads_whole(tmp_path, name):
    """Without a complaint, and with each weight as it was."""
    if name == "perception_lm" and release(transformers.__version__) < (5, 23):
        pytest.skip("5.17 loads it with timm only, whatever its tower is")
    case = CASES[name]
    for package in {"timm"} & {*case.needs}:  # to load it, not its processor alone
        pytest.importorskip(package)
    model = case.make("sdpa")
    model.save_pretrained(tmp_path)
    kind = model.config.model_type
    again, caveats = load_trained(resolve(str(tmp_path)), torch.float32, LoadOptions(), kind)
    assert caveats == ()
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (without(PROJECTOR), PROJECTOR),
        (without("layers.3.self_attn.q_proj"), "language_model.layers.3.self_attn.q_proj.weight"),
        (without("vision_tower"), "vision_tower"),
        (without("lm_head"), "lm_head.weight"),
        (without("embed_tokens"), "embed_tokens.weight"),
        (without("layers.2.", "layers.4."), "layers.2."),
    ],
)
def test_what_is_missing_is_named(copy, change, named):
    edit_weights(copy, change)
    with pytest.raises(ModelError) as caught:
        load(copy)
    assert named in caught.value.message
    assert "random" in caught.value.hint


@pytest.mark.parametrize(
    ("prefix", "way"),
    [
        ("base_model.model.", "merge_and_unload"),
        ("_orig_mod.", "_orig_mod"),
        ("module.", "DataParallel"),
        ("my_own.", "save_pretrained"),
    ],
)
def test_names_with_a_prefix_are_told_with_the_way_back(copy, prefix, way):
    edit_weights(copy, prefixed(prefix))
    with pytest.raises(ModelError) as caught:
        load(copy)
    assert f"({prefix}" in caught.value.message
    assert way in caught.value.hint


def test_another_shape_is_told_with_both_shapes(copy):
    edit_weights(copy, reshaped("multi_modal_projector.linear_1.weight"))
    with pytest.raises(ModelError) as caught:
        load(copy)
    shape = list(load_trained_shapes(copy)["multi_modal_projector.linear_1.weight"])
    theirs = f"{shape[0]} x {shape[1]}"
    ours = f"{shape[0]} x {shape[1] + 1}"
    assert "linear_1.weight" in caught.value.message
    assert theirs in caught.value.message
    assert ours in caught.value.message


def load_trained_shapes(folder):
    from safetensors.torch import load_file

    found = load_file(folder / "model.safetensors")
    return {name.removeprefix("model."): tensor.shape for name, tensor in found.items()}


def test_a_config_of_another_model_does_not_fit(copy):
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit_json(copy / "config.json", text_config={**text, "num_hidden_layers": 8})
    with pytest.raises(ModelError, match=r"layers\.6\."):
        load(copy)


def test_tensors_that_nobody_uses_are_a_caveat(copy):
    edit_weights(copy, lambda weights: {**weights, "model.third_eye.weight": torch.ones(3)})
    [caveat] = load(copy).caveats
    assert caveat.code == "unused_weights"
    assert "model.third_eye.weight" in caveat.message


def test_buffers_that_are_computed_today_are_no_matter(copy):
    old = {
        "model.language_model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        "model.vision_tower.vision_model.embeddings.position_ids": torch.arange(37)[None],
    }
    edit_weights(copy, lambda weights: {**weights, **old})
    assert load(copy).caveats == ()


def test_tied_weights_are_not_missing(tmp_path):
    from safetensors.torch import load_file

    model, processor = small_llava()
    model.config.tie_word_embeddings = model.config.text_config.tie_word_embeddings = True
    tied = type(model)(model.config)
    for part in (tied, processor):
        part.save_pretrained(tmp_path)
    assert not any("lm_head" in name for name in load_file(tmp_path / "model.safetensors"))
    loaded = load(tmp_path)
    assert loaded.caveats == ()
    heads = loaded.model.get_output_embeddings(), loaded.model.get_input_embeddings()
    assert heads[0].weight is heads[1].weight


@pytest.mark.parametrize("name", ["qwen3_vl_moe", "qwen3_5_moe", "glm4v_moe"])
def test_experts_of_which_some_are_missing(tmp_path, name):
    """transformers puts experts together, and fails in another place when one is not there."""
    CASES[name].make("sdpa").save_pretrained(tmp_path)
    edit_weights(tmp_path, without("experts"))
    with pytest.raises(ModelError, match="experts"):
        load_trained(resolve(str(tmp_path)), torch.float32, LoadOptions())


def test_a_quantised_checkpoint_loads(whole, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao's own, about its kernels for GPUs
        torchao = pytest.importorskip("torchao.quantization", exc_type=ImportError)
        from transformers import AutoModelForImageTextToText, TorchAoConfig

        how = TorchAoConfig(torchao.Int8WeightOnlyConfig(version=2))
        model = AutoModelForImageTextToText.from_pretrained(
            whole, quantization_config=how, dtype=torch.float32
        )
        folder = shutil.copytree(whole, tmp_path / "int8")
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder)
    loaded = load(folder)
    weight = loaded.model.model.language_model.layers[0].self_attn.q_proj.weight
    assert type(weight) is not torch.nn.Parameter
    assert not {"unused_weights"} & {caveat.code for caveat in loaded.caveats}
