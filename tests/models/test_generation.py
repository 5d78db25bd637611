"""Answers are greedy whatever generation_config.json says, and what was set aside is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import GenerationConfig

import v2drop_cli as v2drop
from tests.checkpoints import edit_json, save_checkpoint
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.errors import ModelError
from v2drop_cli.generate.decoding import new_cache
from v2drop_cli.generate.greedy import drop_idle_mask, greedy
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.models import generation
from v2drop_cli.models.generation import answer_settings
from v2drop_cli.schedule import Schedule

SCENE = Path(__file__).parents[2] / "sample_media" / "scene.png"
DENSE = Arm("dense", None, None)
LENGTH = 6
# Each of these changed an answer, or ended in an error, when it was left to `generate`.
SETTINGS = {
    "stop_strings": ["e"],
    "num_return_sequences": 2,
    "prompt_lookup_num_tokens": 3,
    "min_length": 900,
    "min_new_tokens": 20,
    "return_dict_in_generate": True,
    "num_beams": 4,
    "repetition_penalty": 1.8,
    "encoder_repetition_penalty": 1.8,
    "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 2,
    "exponential_decay_length_penalty": [1, 3.0],
    "suppress_tokens": list(range(20, 60)),
    "begin_suppress_tokens": list(range(20, 60)),
    "bad_words_ids": [[30], [31]],
    "forced_bos_token_id": 9,
    "forced_eos_token_id": 2,
    "sequence_bias": [[[30], -10.0]],
    "guidance_scale": 3.0,
    "cache_implementation": "static",
    "use_cache": False,
    "assistant_early_exit": 2,
    "prefill_chunk_size": 16,
    "token_healing": True,
    "max_time": 1e-9,
    "penalty_alpha": 0.6,
    "dola_layers": "high",
    "constraints": [1],
    "force_words_ids": [[5]],
    "low_memory": True,
    "watermarking_config": {"bias": 2.5, "seeding_scheme": "selfhash"},
}
# What transformers takes for nothing said.
SILENT = {"use_cache": True}
# What ordinary checkpoints say: how to sample, and where things start and end.
ORDINARY = {
    "do_sample": True,
    "temperature": 0.1,
    "top_p": 0.001,
    "top_k": 1,
    "repetition_penalty": 1.0,
    "max_length": 4096,
    "max_new_tokens": 2,
    "num_beams": 1,
    "use_cache": True,
    "length_penalty": 2.0,
    "transformers_version": "4.45.0",
    "some_tools_own_key": [1, 2],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def answered(folder, arm=DENSE):
    """Tokens of the answer, codes of the caveats before and after, and the loaded model."""
    loaded = v2drop.load(str(folder), device="cpu")
    passes = Passes(Subject(loaded, [load_image(SCENE)], "what?"), Nvml(loaded.device))
    return passes.answer(arm, LENGTH).answer.token_ids, passes.caveats(), loaded


@pytest.fixture(scope="module")
def plain(whole):
    return answered(whole)[0]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_set_aside_and_said(copy, plain, name):
    edit_json(copy / "generation_config.json", **{name: SETTINGS[name]})
    tokens, caveats, loaded = answered(copy)
    assert tokens == plain
    [said] = [c.message for c in caveats if c.code == "generation_config_set_aside"]
    assert said.endswith(f": {name}")
    assert {c.code for c in caveats} == {"generation_config_set_aside", "device_cpu"}
    # The caller's model stays as it was.
    assert getattr(loaded.model.generation_config, name) not in (None, SILENT.get(name))


def test_all_of_them_together_in_both_arms_and_in_the_timed_loop(copy, plain):
    """The answer that is shown is the one that is timed."""
    edit_json(copy / "generation_config.json", **{**ORDINARY, **SETTINGS})
    dropping = Arm("dropping", "v2drop", Schedule.parse("1:0.5,3:0.25"))
    assert answered(copy)[0] == plain
    for arm in (DENSE, dropping):
        tokens, _, loaded = answered(copy, arm)
        inputs = Subject(loaded, [load_image(SCENE)], "what?").prepare()
        with arm.applied(loaded):
            loop = greedy(
                loaded.model, drop_idle_mask(inputs.tensors), new_cache(loaded), len(tokens)
            )
            assert [int(token) for token in loop] == list(tokens)


def test_what_ordinary_checkpoints_say_is_not_worth_a_word(copy, plain):
    edit_json(copy / "generation_config.json", **ORDINARY)
    tokens, caveats, _ = answered(copy)
    assert tokens == plain
    assert {caveat.code for caveat in caveats} == {"device_cpu"}


def test_an_end_that_is_no_number_is_told(copy):
    edit_json(copy / "generation_config.json", eos_token_id="2")
    with pytest.raises(ModelError, match="eos_token_id '2'"):
        answered(copy)


def test_a_broken_file_is_no_matter(copy, plain):
    (copy / "generation_config.json").write_text("{")
    assert answered(copy)[0] == plain
    (copy / "generation_config.json").unlink()
    assert answered(copy)[0] == plain


def test_generation_settings_in_config_json(copy, plain):
    """transformers refuses to generate from such a file on its own."""
    edit_json(copy / "config.json", num_beams=3, min_length=30)
    assert answered(copy)[0] == plain


def test_answers_end_where_the_checkpoint_says(copy, plain):
    """At any of its end tokens; where it names none, at that of its decoder."""
    end = plain[2]
    first = plain[: plain.index(end) + 1]
    edit_json(copy / "generation_config.json", eos_token_id=[1, end])
    assert answered(copy)[0] == first
    edit_json(copy / "generation_config.json", ("eos_token_id", "pad_token_id"))
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit_json(copy / "config.json", text_config={**text, "eos_token_id": end})
    tokens, caveats, _ = answered(copy)
    assert tokens == first
    assert {caveat.code for caveat in caveats} == {"device_cpu"}


def test_the_settings_hold_nothing_else(whole):
    model = v2drop.load(str(whole), device="cpu").model
    for name, value in SETTINGS.items():
        setattr(model.generation_config, name, value)
    said = {k: v for k, v in vars(answer_settings(model, 5)).items() if v is not None}
    said.pop("transformers_version", None)
    said = {name: value for name, value in said.items() if not name.startswith("_")}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    assert said == {**ids, "do_sample": False, "max_new_tokens": 5}


def test_the_lists_name_what_this_transformers_has():
    known = set(vars(GenerationConfig()))
    assert known >= generation._IDLE
    assert set(generation._NEUTRAL) <= known
    assert set(SETTINGS) <= known
    # Whatever is new there is named when it is set, until somebody looks at it.
    looked_at = {*SETTINGS, *generation._IDLE, *generation._TOKENS, "assistant_ensemble_weight"}
    looked_at |= {"use_mtp", "speculation_type"}
    assert {name for name in known - looked_at if not name.startswith("_")} == set()


def test_a_processor_of_another_model_is_told(copy):
    images = json.loads((copy / "processor_config.json").read_text())["image_processor"]
    images["crop_size"] = {"height": 32, "width": 32}
    images["size"] = {"shortest_edge": 32}
    edit_json(copy / "processor_config.json", image_processor=images)
    with pytest.raises(ModelError, match="does not fit its model"):
        answered(copy)
