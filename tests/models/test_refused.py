"""Refused model types: each exists, each gives its reason, none is served."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import AutoModelForImageTextToText
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from v2drop_cli.errors import UnsupportedModelError
from v2drop_cli.models.refused import FOREIGN, REFUSED
from v2drop_cli.models.registry import FAMILIES, family_for, get_family
from v2drop_cli.prove.cases.case import TEXT

# model_type → the version of transformers that the entry was read in, where 5.17 lacks it.
NEWER = {
    **dict.fromkeys(("dots3_note", "inkling2", "minicpmv4_7", "mistral_large4"), "5.23"),
    **dict.fromkeys(("unlimited_ocr",), "5.23"),
    **dict.fromkeys(("apertus1p5", "hy_v4_vl", "inkling2_loop"), "5.24"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_exists_and_its_reason_is_given(name):
    known = Version(transformers.__version__) >= Version(NEWER.get(name, "5.17"))
    assert (name in CONFIG_MAPPING) == (known and name not in FOREIGN)
    config = SimpleNamespace(model_type=name)
    with pytest.raises(UnsupportedModelError, match=re.escape(f"{name!r}: {REFUSED[name]}")):
        family_for(config)


def test_no_model_type_is_both_served_and_refused():
    served = [name for family in FAMILIES for name in get_family(family).model_types]
    assert len(served) == len(set(served))
    assert not set(served) & set(REFUSED)


# A reason that a default configuration shows; the others were read in the modeling code.
def test_sliding_windows_are_in_the_configurations():
    types = [name for name, reason in REFUSED.items() if "sliding windows" in reason]
    for name in set(types) & set(CONFIG_MAPPING):
        text = CONFIG_MAPPING[name]().get_text_config()
        windows = "sliding_attention" in (getattr(text, "layer_types", None) or [])
        assert windows or getattr(text, "sliding_window", None), name


def test_an_unknown_model_type_is_told_what_is_served():
    with pytest.raises(UnsupportedModelError, match=r"'bert'$") as caught:
        family_for(SimpleNamespace(model_type="bert"))
    assert "qwen2_vl" in caught.value.hint


@pytest.mark.parametrize("name", ["instructblip", "instructblipvideo"])
def test_instructblips_generate_hands_its_decoder_embeddings_alone(name):
    """No call has ids and pixels: the day one has, this fails, and the model can be served."""
    model, called = instructblip(name), []
    for part in (model, model.language_model):
        part.register_forward_pre_hook(
            lambda module, args, given: called.append((module, told(given))), with_kwargs=True
        )
    ids = torch.tensor([[3] * 2 + [1, 11, 12]])
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    asked["qformer_input_ids"] = torch.tensor([[4, 5]])
    size = (1, 4, 3, 8, 8) if name == "instructblipvideo" else (1, 3, 8, 8)
    if name == "instructblipvideo":  # a clip has four frames, and each the queries
        asked["input_ids"] = ids = torch.tensor([[3] * 8 + [1, 11, 12]])
        asked["attention_mask"] = torch.ones_like(ids)
    with pytest.raises(TypeError, match="pixel_values"):  # nor does it take a word by itself
        model(input_ids=ids)
    called.clear()
    model.generate(pixel_values=torch.zeros(size), **asked, max_new_tokens=2, min_new_tokens=2)
    [(first, given), *_] = called
    assert first is model.language_model
    assert "inputs_embeds" in given
    assert not {"input_ids", "pixel_values", "mm_encoder_outputs"} & given
    assert model not in [module for module, _ in called]


def told(given):
    """The arguments that say something."""
    return {name for name, value in given.items() if value is not None}


def instructblip(name):
    """A tiny one before a Llama, with two queries a picture."""
    configuration = CONFIG_MAPPING[name](
        vision_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                       "num_attention_heads": 2, "image_size": 8, "patch_size": 4},
        qformer_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
                        "num_attention_heads": 2, "vocab_size": 32},
        text_config={"model_type": "llama", **TEXT, "num_hidden_layers": 1},
        num_query_tokens=2,
        **{"video_token_index" if name == "instructblipvideo" else "image_token_index": 3},
    )  # fmt: skip
    return AutoModelForImageTextToText.from_config(configuration).eval()
