"""Loading: names, devices, dtypes, the embedded model, dummy weights and shipped configs."""

from __future__ import annotations

import json

import pytest
import torch

import v2drop_cli as v2drop
from tests.checkpoints import save_config
from v2drop_cli.errors import DeviceError, ModelError, UnknownNameError, UsageError
from v2drop_cli.models import devices
from v2drop_cli.models.dummy import dummy_processor, read_config_file
from v2drop_cli.models.names import ALIASES, ASSETS, resolve


def test_resolve(tmp_path):
    assert resolve("tiny").is_local
    assert resolve("llava-1.5-7b").location == "llava-hf/llava-1.5-7b-hf"
    assert resolve("some-org/some-model").is_local is False
    assert resolve(str(tmp_path)).is_local
    for name in ("no-such-model", "a/b/c", "./nope", "", " "):
        with pytest.raises(UsageError):
            resolve(name)
    with pytest.raises(UnknownNameError) as caught:
        resolve("llava-1.5-7")
    assert "llava-1.5-7b" in caught.value.hint


def test_the_embedded_model_is_what_it_says():
    loaded = v2drop.load("tiny", device="cpu")
    assert (loaded.weights, loaded.source, loaded.dtype) == ("trained", "tiny", torch.float32)
    assert loaded.family.name == "llava"
    assert loaded.model.training is False
    vision = loaded.model.config.vision_config
    assert (vision.image_size // vision.patch_size) ** 2 == 576
    assert loaded.attn_implementation == "sdpa"
    assert loaded.n_layers == loaded.model.config.text_config.num_hidden_layers


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_options_reach_the_model(attn):
    loaded = v2drop.load("tiny", dtype="bfloat16", attn_implementation=attn, device="cpu")
    assert loaded.attn_implementation == attn
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}


def llava_parameters(width, inner, layers, vocabulary):
    """Llama decoder, CLIP ViT-L/14-336 and projector, counted by hand."""
    decoder = layers * (4 * width**2 + 3 * width * inner + 2 * width) + width
    words = 2 * vocabulary * width
    vit, patches = 1024, (336 // 14) ** 2
    block = 4 * (vit**2 + vit) + 2 * 4 * vit**2 + 5 * vit + 4 * vit
    tower = 24 * block + 3 * 14**2 * vit + vit + (patches + 1) * vit + 4 * vit
    projector = vit * width + width + width**2 + width
    return decoder + words + tower + projector


@pytest.mark.parametrize(
    ("alias", "numbers"),
    [("llava-1.5-7b", (4096, 11008, 32, 32064)), ("llava-1.5-13b", (5120, 13824, 40, 32064))],
)
def test_shipped_configs_have_the_right_size(alias, numbers):
    from transformers import AutoModelForImageTextToText

    config = read_config_file(ASSETS / ALIASES[alias].config)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == llava_parameters(*numbers)
    values = json.loads((ASSETS / ALIASES[alias].config).read_text())
    assert "arXiv" in values["_source"]


def test_a_shrunken_7b_builds_with_dummy_weights(tmp_path):
    """The shipped architecture, every kind of number in it, at a size that fits anywhere."""
    values = json.loads((ASSETS / "llava-1.5-7b.json").read_text())
    values["text_config"] |= {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
                              "num_key_value_heads": 4, "vocab_size": 1024}  # fmt: skip
    values["vision_config"] |= {"hidden_size": 32, "intermediate_size": 48,
                                "num_attention_heads": 2, "num_hidden_layers": 3}  # fmt: skip
    path = tmp_path / "shrunken.json"
    path.write_text(json.dumps(values))
    loaded = v2drop.load(str(path), weights="dummy", device="cpu", dtype="bfloat16", seed=1)
    assert (loaded.weights, loaded.n_layers, loaded.dtype) == ("dummy", 32, torch.bfloat16)
    again = v2drop.load(str(path), weights="dummy", device="cpu", dtype="bfloat16", seed=1)
    other = v2drop.load(str(path), weights="dummy", device="cpu", dtype="bfloat16", seed=2)
    weights = [m.model.lm_head.weight for m in (loaded, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_stand_in_processor_makes_llavas_shapes():
    config = read_config_file(ASSETS / "llava-1.5-7b.json")
    processor = dummy_processor(resolve("llava-1.5-7b"), config)
    from PIL import Image

    out = processor(text="USER: <image>\nhi ASSISTANT:", images=Image.new("RGB", (500, 300)), return_tensors="pt")  # fmt: skip # noqa: E501
    assert out["pixel_values"].shape == (1, 3, 336, 336)
    assert int((out["input_ids"] == config.image_token_id).sum()) == 576


def test_broken_config_files(tmp_path):
    for text in ("{", "[]", '{"model_type": "no_such"}', "{}"):
        path = tmp_path / "config.json"
        path.write_text(text)
        with pytest.raises(ModelError):
            v2drop.load(str(path), weights="dummy", device="cpu")


def test_dummy_weights_of_a_model_whose_configuration_is_not_here():
    """To use dummy weights would be this again: it takes a configuration."""
    with pytest.raises(ModelError) as caught:
        v2drop.load("someone/no-such-model", weights="dummy", device="cpu")
    assert "pass a config.json of it as --model with --weights dummy" in caught.value.hint
    with pytest.raises(ModelError) as caught:
        v2drop.load("llava-1.5-7b", device="cpu")
    assert "use --weights dummy for timings" in caught.value.hint


def test_a_config_only_directory_has_no_trained_weights(tmp_path):
    with pytest.raises(ModelError):
        v2drop.load(str(save_config(tmp_path / "c")), device="cpu")


# Devices -------------------------------------------------------------------------------------


def test_devices_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.pick_device("auto") == torch.device("cpu")
    with pytest.raises(DeviceError):
        devices.pick_device("cuda")


def test_devices_with_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5, 9))
    assert devices.pick_device("auto") == torch.device("cuda")
    assert devices.pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="2 GPUs"):
        devices.pick_device("cuda:2")
    assert devices.free_memory(torch.device("cuda")) == 5


def test_each_of_several_processes_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("auto", "cuda"):
        assert devices.pick_device(name) == torch.device("cuda", 1)
    assert devices.pick_device("cuda:0") == torch.device("cuda", 0)
    assert devices.pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(DeviceError, match="process 3 of 4 has no GPU: it is number 2"):
        devices.pick_device("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.pick_device("auto") == torch.device("cpu")


def test_dtypes():
    config = read_config_file(ASSETS / "llava-1.5-7b.json")
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert devices.pick_dtype("auto", cpu, config) == torch.float32
    assert devices.pick_dtype("auto", cuda, config) == torch.float16
    assert devices.pick_dtype("bfloat16", cpu, config) == torch.bfloat16


# The embedded model's answers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "prompt", "answer"),
    [
        ("scene.png", None, "1"),
        ("scene.png", "What color is the triangle?", "green"),
        ("scene.png", "is there a red star in the image", "yes"),
        ("clip.mp4", None, "right"),
    ],
)
def test_dense_and_v2drop_answer_right_on_the_samples(media, prompt, answer):
    """At the default schedule, with the questions asked when none is given among them."""
    from v2drop_cli.media import load_image, load_video
    from v2drop_cli.models.names import default_prompt

    loaded = v2drop.load("tiny", device="cpu")
    path = ASSETS.parents[2] / "sample_media" / media
    shown = load_image(path) if media.endswith("png") else load_video(path, 8)
    text = prompt or default_prompt("tiny", shown.kind)
    inputs = loaded.family.prepare(loaded.processor, loaded.model.config, [shown], text)
    length = inputs.tensors["input_ids"].shape[1]

    def said():
        out = loaded.model.generate(**inputs.tensors, do_sample=False, max_new_tokens=8)
        return loaded.decode(out[0, length:].tolist())

    assert inputs.vision.counts == (576 if shown.kind == "image" else 1152,)
    assert said() == answer
    with v2drop.dropping(loaded, "paper-192") as trace:
        assert said() == answer
    assert trace.events[-1].after == (0,)


@pytest.mark.parametrize("shown", [True, False])
def test_loading_shows_no_progress_bar_and_leaves_the_callers_choice(monkeypatch, shown):
    from transformers.utils import logging

    import v2drop_cli.models.loading as loading

    seen, real = [], loading.load_trained

    def trained(*args):
        seen.append(logging.is_progress_bar_enabled())
        return real(*args)

    monkeypatch.setattr(loading, "load_trained", trained)
    before = logging.is_progress_bar_enabled()
    choose = {True: logging.enable_progress_bar, False: logging.disable_progress_bar}
    try:
        choose[shown]()
        v2drop.load("tiny", device="cpu")
        assert seen == [False]
        assert logging.is_progress_bar_enabled() is shown
    finally:
        choose[before]()
