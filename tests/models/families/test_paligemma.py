"""PaliGemma: a prefix that attends both ways, also in shortened layers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.models.test_families import Recorder, shown
from tests.release import CACHE
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.instrument.masks import View, causal_mask
from v2drop_cli.models.registry import family_for, get_family
from v2drop_cli.prove.cases.case import TEXT

CASE = CASES["paligemma"]


def prompt():
    inputs, _ = CASE.batch(CASE.prompts("image"))
    return inputs


def test_windows_of_paligemma_2_cut_answers_and_nothing_of_the_prefix():
    """Columns 0 to 4 are the prefix, the window is of 3; 5 and 6 are an answer."""
    prefix = torch.tensor([[0] * 5 + [-1] * 2])
    view = View(3, torch.arange(7)[None], cuts_blocks=get_family("paligemma").windows_cut_blocks)
    config = SimpleNamespace(_attn_implementation="sdpa")
    hidden = torch.zeros(1, 7, 8)
    seen = causal_mask(config, hidden, past=0, valid=None, blocks=prefix, view=view)[0, 0]
    assert seen[:5].int().tolist() == [[1] * 5 + [0] * 2] * 5
    assert seen[5:].int().tolist() == [[0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1, 1]]


def test_flash_kernels_are_refused():
    """Its attention is not causal by itself, and a flash kernel gets no mask that would be."""
    model = CASE.make("sdpa")
    assert not CASE.layers(model)[0].self_attn.is_causal
    model.config.get_text_config()._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(UnsupportedModelError, match="flash"):
        family_for(model.config)


def test_pixels_without_token_types_are_refused():
    model, inputs = CASE.make("sdpa"), prompt()
    del inputs["token_type_ids"]
    with v2drop.dropping(model, CASE.schedule), pytest.raises(InstrumentError, match="both ways"):
        model(**inputs)


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_the_mask_of_a_short_layer_is_the_prefix(attn):
    """Columns of the prompt see all that is left of it; an answer sees what was before."""
    model, inputs = CASE.make(attn), prompt()
    answer = torch.tensor([[20, 21]])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], answer], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["token_type_ids"] = torch.nn.functional.pad(inputs["token_type_ids"], (0, 2), value=1)
    seen = []
    last = CASE.layers(model)[-1]
    with v2drop.dropping(model, "2:4t"):
        handle = last.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["attention_mask"]), with_kwargs=True
        )
        with torch.no_grad():
            model(**inputs)
        handle.remove()
    [mask] = seen
    allowed = (mask if mask.dtype == torch.bool else mask == 0)[0, 0]
    width = inputs["input_ids"].shape[1] - 16 + 4
    wanted = torch.ones(width, width).tril().bool()
    wanted[: width - 2, : width - 2] = True
    assert torch.equal(allowed, wanted)


def test_a_second_picture_on_one_cache_is_refused():
    """The model itself would number the blocks of the new columns from the cache's start."""
    model, inputs = CASE.make("sdpa"), prompt()
    cache = DynamicCache(config=model.config)
    with v2drop.dropping(model, "2:4t"), torch.no_grad():
        model(**inputs, **{CACHE: cache})
        longer = torch.ones(1, 2 * inputs["input_ids"].shape[1], dtype=torch.long)
        # The dense mask has room for one prompt's types only, so they come for both.
        types = torch.zeros_like(longer)
        with pytest.raises(InstrumentError, match="both directions"):
            model(
                **{**inputs, "attention_mask": longer, "token_type_ids": types},
                **{CACHE: cache},
            )


def test_a_prompt_is_a_command_and_carries_no_labels():
    class WithLabels(Recorder):
        chat_template = None

        def __call__(self, **given):
            return {**super().__call__(**given), "labels": torch.tensor([[-100, -100]])}

    processor = WithLabels()
    config = CASE.config(TEXT, CASE.ids)
    inputs = get_family("paligemma").prepare(processor, config, [shown("image")], "caption en")
    assert "labels" not in inputs.tensors
    assert "<image>" in processor.options["chat_template"]


def test_its_parts_are_found():
    model, family = CASE.make("sdpa"), get_family("paligemma")
    assert family.vision_tower(model) is model.model.vision_tower
    assert family.projector(model) is model.model.multi_modal_projector
