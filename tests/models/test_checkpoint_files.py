"""Half checkpoints, as they lie about on disks: each is named, with the way forward."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

import v2drop_cli as v2drop
from tests.checkpoints import edit_json, save_checkpoint, small_llava
from v2drop_cli.errors import ModelError, UnsupportedModelError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 6928064\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


@pytest.fixture
def sharded(tmp_path):
    model, processor = small_llava()
    model.save_pretrained(tmp_path / "sharded", max_shard_size="100KB")
    processor.save_pretrained(tmp_path / "sharded")
    shards = sorted((tmp_path / "sharded").glob("model-*.safetensors"))
    assert len(shards) > 2
    return shards


def refused(path, *said, error=ModelError, **options):
    """Loading fails with `said` in the message or the hint."""
    with pytest.raises(error) as caught:
        v2drop.load(str(path), device="cpu", **options)
    assert type(caught.value) is error, caught.value
    for text in said:
        assert text in f"{caught.value.message}\n{caught.value.hint}"
    return caught.value


# Pointers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "config.json", "processor_config.json"]
)
def test_a_git_lfs_pointer_is_called_one(copy, name):
    (copy / name).write_text(POINTER)
    refused(copy, f"{name} in {copy} is a git-lfs pointer", "git lfs pull")


def test_pointers_among_shards_and_in_pickles(sharded, copy):
    sharded[1].write_text(POINTER)
    refused(sharded[0].parent, sharded[1].name, "git lfs pull")
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_text(POINTER)
    refused(copy, "pytorch_model.bin", "git lfs pull", allow_pickle=True)


def test_pointers_to_what_is_not_read_do_not_matter(copy):
    (copy / "consolidated.safetensors").write_text(POINTER)
    (copy / "training_args.bin").write_text(POINTER)
    assert v2drop.load(str(copy), device="cpu").caveats == ()
    (copy / "model.safetensors").write_text(POINTER)
    assert v2drop.load(str(copy), device="cpu", weights="dummy").weights == "dummy"


# Weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_weights_that_are_cut_short(copy, share):
    path = copy / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(copy, "model.safetensors")


def test_weights_that_are_something_else(copy):
    path = copy / "model.safetensors"
    for data in (b"<!DOCTYPE html><html>no such file</html>", b"\x02\0\0\0\0\0\0\0[]", b"x" * 10):
        path.write_bytes(data)
        refused(copy, "is no safetensors file")


def test_shards_that_are_not_there(sharded):
    folder = sharded[0].parent
    assert v2drop.load(str(folder), device="cpu").caveats == ()
    sharded[1].unlink()
    refused(folder, sharded[1].name, f"the {len(sharded)} files")
    sharded[2].unlink()
    refused(folder, f"{sharded[1].name} and 1 more")


def test_a_shard_that_is_cut_short(sharded):
    data = sharded[1].read_bytes()
    sharded[1].write_bytes(data[:-4])
    refused(sharded[1].parent, f"{sharded[1].name} is cut short")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {"a": 1}}'])
def test_a_broken_index(sharded, text):
    (sharded[0].parent / "model.safetensors.index.json").write_text(text)
    refused(sharded[0].parent, "model.safetensors.index.json")


def test_weights_under_other_names(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    refused(copy, "only model-00001-of-00002.safetensors", "index")
    (copy / "model-00001-of-00002.safetensors").unlink()
    refused(copy, "has no weights", "--weights dummy")
    (copy / "model.gguf").touch()
    refused(copy, "only model.gguf")
    torch.save({}, copy / "pytorch_model.bin")
    refused(copy, "pickle", "--allow-pickle")


def test_links_that_lead_nowhere(copy):
    """A cache whose blobs were cleared away."""
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").symlink_to(copy / "blobs" / "0123")
    refused(copy, "model.safetensors is a link to a file that is not there")


def test_weights_under_the_name_that_the_config_gives(copy):
    (copy / "model.safetensors").rename(copy / "mine.safetensors")
    refused(copy, "only mine.safetensors")
    edit_json(copy / "config.json", transformers_weights="mine.safetensors")
    assert v2drop.load(str(copy), device="cpu").caveats == ()


# Files as a model ----------------------------------------------------------------------------


def test_one_file_of_weights_is_no_model(whole, tmp_path):
    refused(whole / "model.safetensors", "one file of weights", "directory")
    refused(whole / "model.safetensors", "one file of weights", weights="dummy")
    (tmp_path / "m.bin").touch()
    refused(tmp_path / "m.bin", "one file of weights")
    (tmp_path / "m.gguf").touch()
    refused(tmp_path / "m.gguf", "GGUF", "safetensors")
    refused(whole / "config.json", "single file", "--weights dummy")


# Directories ---------------------------------------------------------------------------------


def test_directories_without_a_config(whole, tmp_path):
    refused(tmp_path, "is an empty directory")
    (tmp_path / "notes").touch()
    refused(tmp_path, "has no config.json")
    snapshot = shutil.copytree(whole, tmp_path / "snapshots" / "0123abc")
    refused(tmp_path, f"did you mean {snapshot}?")
    nearer = shutil.copytree(whole, tmp_path / "checkpoint-500")
    refused(tmp_path, f"did you mean {nearer}?")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("model_index.json", '{"_class_name": "StableDiffusionPipeline"}', "diffusers"),
        ("adapter_config.json", '{"base_model_name_or_path": "some/base"}', "some/base"),
        ("adapter_config.json", "{}", "its base model"),
        ("model-Q4_K_M.gguf", "GGUF", "llama.cpp"),
        ("params.json", "{}", "format of transformers"),
    ],
)
def test_directories_of_other_tools(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    refused(tmp_path, said)


def test_an_adapter_beside_a_config(copy):
    edit_json(copy / "adapter_config.json", base_model_name_or_path="some/base", peft_type="LORA")
    (copy / "model.safetensors").rename(copy / "adapter_model.safetensors")
    refused(copy, "adapter", "merge_and_unload")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("\x00\x01", "is not JSON"),
        ("[]", "no model_type"),
        ("{}", "no model_type"),
        ('{"architectures": ["LlavaForConditionalGeneration"]}', "no model_type"),
        ('{"model_type": 5}', "no name"),
    ],
)
def test_configs_that_are_none(copy, text, said):
    (copy / "config.json").write_text(text)
    for weights in ("trained", "dummy"):
        refused(copy, "config.json", said, weights=weights)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("llava_llama", "llava-hf"),
        ("internvl_chat", "-hf"),
        ("made_up_vl", "served: "),
        ("llama", "served: "),
    ],
)
def test_other_architectures_are_refused_by_name(copy, kind, said):
    (copy / "config.json").write_text(json.dumps({"model_type": kind, "auto_map": {}}))
    refused(copy, repr(kind), said, error=UnsupportedModelError)


def test_configs_of_impossible_numbers(copy):
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit_json(copy / "config.json", text_config={**text, "num_attention_heads": 7})
    refused(copy, "cannot load")


def test_the_processors_files(copy, whole):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copy / name).unlink()
    refused(copy, "has no tokenizer", "copy the tokenizer")
    shutil.copy(whole / "tokenizer.json", copy)
    shutil.copy(whole / "tokenizer_config.json", copy)
    (copy / "processor_config.json").unlink()
    refused(copy, "has no image processor")


def test_a_tokenizer_alone_is_no_processor(copy):
    edit_json(copy / "processor_config.json", ("image_processor",))
    refused(copy)
