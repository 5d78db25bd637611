"""Processors whose files say too little: the rest is in the model's config."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import v2drop_cli as v2drop
from tests.checkpoints import edit_json, save_checkpoint
from v2drop_cli.errors import ModelError
from v2drop_cli.media import load_image
from v2drop_cli.models.dummy import read_config_file
from v2drop_cli.models.names import ALIASES, ASSETS
from v2drop_cli.models.processors import _facts, complete

SCENE = Path(__file__).parents[2] / "sample_media" / "scene.png"
SAID = ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def prepared(folder):
    loaded = v2drop.load(str(folder), device="cpu")
    return loaded, loaded.prepare([load_image(SCENE)], "what?").tensors


@pytest.mark.parametrize("left_out", [*((name,) for name in SAID), SAID])
def test_what_a_llava_processor_does_not_say_is_taken_from_the_config(whole, copy, left_out):
    _, wanted = prepared(whole)
    edit_json(copy / "processor_config.json", left_out)
    loaded, got = prepared(copy)
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    [caveat] = loaded.caveats
    assert caveat.code == "processor_completed"
    assert all(name in caveat.message for name in left_out)


def test_a_complete_processor_is_left_as_it_is(whole):
    loaded, _ = prepared(whole)
    assert loaded.caveats == ()
    assert complete(loaded.processor, loaded.model.config) == ()


def test_a_processor_of_another_patch_size_follows_the_model(whole, copy):
    _, wanted = prepared(whole)
    edit_json(copy / "processor_config.json", patch_size=14)
    loaded, got = prepared(copy)
    assert torch.equal(got["input_ids"], wanted["input_ids"])
    assert "patch_size 4 (was 14)" in loaded.caveats[0].message


# As published with these models, in their processor_config.json.
PUBLISHED = {
    "llava-1.5-7b": (14, 1, "default"),
    "llava-1.5-13b": (14, 1, "default"),
    "llava-next-vicuna-7b": (14, 1, "default"),
    "video-llava-7b": (14, 1, "default"),
    "llava-onevision-0.5b": 729,
    "internvl3-1b": 256,
}
NAMES = ("patch_size", "num_additional_image_tokens", "vision_feature_select_strategy")


@pytest.mark.parametrize("alias", PUBLISHED)
def test_the_config_says_what_the_published_processor_says(alias):
    facts = _facts(read_config_file(ASSETS / ALIASES[alias].config))
    names = {"llava-onevision-0.5b": "num_image_tokens", "internvl3-1b": "image_seq_length"}
    if alias in names:
        assert facts[names[alias]] == PUBLISHED[alias]
    else:
        assert tuple(facts[name] for name in NAMES) == PUBLISHED[alias]


def test_files_of_before_there_were_processor_files(whole, copy):
    """An image processor and a tokenizer, and nothing that says how they go together."""
    _, wanted = prepared(whole)
    values = json.loads((copy / "processor_config.json").read_text())
    (copy / "processor_config.json").unlink()
    (copy / "preprocessor_config.json").write_text(json.dumps(values["image_processor"]))
    edit_json(copy / "tokenizer_config.json", ("processor_class",))
    loaded, got = prepared(copy)
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    assert [caveat.code for caveat in loaded.caveats] == ["processor_completed"]


class Bare:
    """What AutoProcessor gives where it finds a tokenizer and nothing else."""


def test_a_tokenizer_alone_is_refused(whole, monkeypatch):
    from transformers import AutoProcessor

    monkeypatch.setattr(AutoProcessor, "from_pretrained", lambda *a, **k: Bare())
    with pytest.raises(ModelError, match="no tokenizer") as caught:
        v2drop.load(str(whole), device="cpu")
    assert "Bare" in caught.value.message
