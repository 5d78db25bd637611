"""Gemma 3: pictures that attend both ways, in windows, over one cache."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    DynamicCache,
    ShieldGemma2Config,
    ShieldGemma2ForImageClassification,
)

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_entry import gone
from tests.models.test_families import shown
from tests.release import CACHE
from v2drop_cli.errors import InstrumentError, MediaArgumentError, UnsupportedModelError
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.names import resolve
from v2drop_cli.models.registry import family_for
from v2drop_cli.models.weights import load_trained
from v2drop_cli.prove.cases.case import TEXT
from v2drop_cli.prove.cases.gemma3 import WINDOW
from v2drop_cli.prove.oracle import decode, masked

CASE = CASES["gemma3"]
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def masks_of(model, inputs, schedule):
    """Per layer, who sees whom in the only row."""
    seen = []
    with v2drop.dropping(model, schedule, method="uniform") as trace, torch.no_grad():
        handles = [
            layer.register_forward_pre_hook(
                lambda module, args, kwargs: seen.append(kwargs["attention_mask"]), with_kwargs=True
            )
            for layer in CASE.layers(model)
        ]
        model(**inputs)
    for handle in handles:
        handle.remove()
    return [(m if m.dtype == torch.bool else m == 0)[0, 0] for m in seen], trace.events[0].kept[0]


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_masks_of_short_layers_are_cut_out_of_the_dense_ones(attn):
    """Of layers with a window and of those without: each survivor sees whom it saw."""
    model, (inputs, [vision]) = CASE.make(attn), CASE.batch(CASE.prompts("images"))
    dense, _ = masks_of(model, inputs, "5:0.5")
    short, kept = masks_of(model, inputs, "0:0.5")
    stays = [i for i in range(inputs["input_ids"].shape[1]) if i not in vision or i in kept]
    for layer in range(5):
        assert torch.equal(short[layer], dense[layer][stays][:, stays])
    windowed, whole = short[0], short[2]
    first, last = stays.index(kept[0]), stays.index(kept[7])
    assert whole[first, last]  # ahead, within the picture
    assert kept[7] - kept[0] >= WINDOW
    assert windowed[first, last]  # a window has no end ahead
    assert not windowed[last, first]


def test_a_second_picture_on_one_cache_gives_the_oracles_answer():
    """The model reads the types of the whole conversation."""
    model = CASE.make("sdpa")
    first, [vision] = CASE.batch([CASE.prompt(3, "i", 1)])
    second, [later] = CASE.batch([CASE.prompt(2, "i", 2)])
    n = first["input_ids"].shape[1]
    types = torch.cat([first["token_type_ids"], second["token_type_ids"]], 1)
    steps = [{"input_ids": torch.tensor([[20 + i]])} for i in range(6)]

    def turns(second):
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            del_mask = [{k: v for k, v in t.items() if k != "attention_mask"} for t in (second,)]
            given = [first, *del_mask, *steps]
            return [model(**t, **{CACHE: cache}, use_cache=True).logits[:, -1] for t in given]

    whole = {**second, "token_type_ids": types}
    with v2drop.dropping(model, CASE.schedule) as trace:
        got = turns(whole)
    lost = gone(trace.events[:3], [vision])
    for layer, sets in gone(trace.events[3:], [[n + i for i in later]]).items():
        lost[layer] = [a | b for a, b in zip(lost[layer], sets, strict=True)]
    with masked(CASE.layers(model), torch.ones(1, n + types.shape[1]), lost):
        wanted = turns(whole)
    torch.testing.assert_close(got, wanted, **TOLERANCE)
    with v2drop.dropping(model, CASE.schedule), pytest.raises(InstrumentError, match="both ways"):
        turns(second)


def test_without_types_pictures_attend_causally_as_in_the_model_itself():
    model, (inputs, vision) = CASE.make("sdpa"), CASE.batch(CASE.prompts("image"))
    del inputs["token_type_ids"]
    with v2drop.dropping(model, CASE.schedule) as trace, torch.no_grad():
        got = model(**inputs).logits[:, -1]
    lost, padding = gone(trace.events, vision), inputs["attention_mask"]
    with masked(CASE.layers(model), padding, lost), torch.no_grad():
        wanted = model(**inputs).logits[:, -1]
    torch.testing.assert_close(got, wanted, **TOLERANCE)


def test_flash_kernels_are_refused():
    """They take no mask, and so cannot be told what attends both ways."""
    model = CASE.make("sdpa")
    model.config.get_text_config()._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(UnsupportedModelError, match="flash"):
        family_for(model.config)


def shield():
    config = CASE.config(TEXT, CASE.ids)
    parts = {"text_config": config.text_config, "vision_config": config.vision_config}
    return ShieldGemma2Config(**parts, mm_tokens_per_image=config.mm_tokens_per_image, **CASE.ids)


def test_shieldgemma_2_is_a_gemma_3(tmp_path):
    """Also as its checkpoints are saved: by the class that classifies."""
    torch.manual_seed(0)
    saved = ShieldGemma2ForImageClassification(shield())
    torch.nn.init.normal_(saved.model.model.multi_modal_projector.mm_input_projection_weight)
    saved.save_pretrained(tmp_path)
    model, _ = load_trained(resolve(str(tmp_path)), torch.float32, LoadOptions(), "shieldgemma2")
    model.eval()
    weights = saved.model.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], w) for name, w in model.state_dict().items())
    assert family_for(model.config).name == "gemma3"
    inputs, vision = CASE.batch(CASE.prompts("ragged"))
    with v2drop.dropping(model, CASE.schedule) as trace:
        got, tokens = decode(model, inputs, 3)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 3), value=1)
    with masked(CASE.layers(model), padding, gone(trace.events, vision)):
        wanted, _ = decode(model, inputs, 3, tokens)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours[:, -1], theirs[:, -1], **TOLERANCE)


class Judge:
    """A processor that notes what it is given."""

    tokenizer = None

    def __call__(self, **given):
        self.given = given
        return {"input_ids": torch.tensor([[11, 12]])}


def test_shieldgemma_2_is_asked_whether_one_picture_violates_a_policy():
    family, processor, picture = family_for(shield()), Judge(), shown("image")
    family.prepare(processor, shield(), [picture], "No weapons.")
    assert processor.given["policies"] == ["asked"]
    assert processor.given["custom_policies"] == {"asked": "No weapons."}
    assert processor.given["images"] == [[picture.frames[0]]]
    for media, words in (([picture] * 2, "one image"), ([shown("video", 2)], "no video")):
        with pytest.raises(MediaArgumentError, match=words):
            family.prepare(processor, shield(), media, "No weapons.")
