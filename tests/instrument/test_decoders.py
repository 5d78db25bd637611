"""Every text decoder on the proven list, against the masked oracle; and what the list is for."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig

import v2drop_cli as v2drop
from tests.families import CASES
from tests.text_decoders import exists, full_attention, llava_with
from v2drop_cli.errors import InstrumentError, UnsupportedModelError
from v2drop_cli.models import decoders
from v2drop_cli.models.decoders import PROVEN
from v2drop_cli.models.registry import family_for
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.prompt import synthetic_inputs
from v2drop_cli.prove.oracle import decode, define, masked

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
LLAVA = CASES["llava"]
# Decoders of one family each: the matrix proves dropping in those.
OF_FAMILIES = {name for name in PROVEN if name.endswith("_text") and name != "aria_text"}
# Step 3.7's, which transformers does not build by itself; others that no LLaVA holds.
OF_FAMILIES |= {"step3p5", "nemotron_h", "phi4_multimodal"}


@pytest.mark.no_cover
@pytest.mark.parametrize("name", sorted(PROVEN - OF_FAMILIES))
def test_dropping_equals_the_masked_oracle(name):
    if not exists(name):
        pytest.skip("this version of transformers does not have it")
    model = llava_with(name, **full_attention(name))
    inputs, vision = LLAVA.batch(LLAVA.prompts("ragged"))
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 4), value=1)
    for attn in ("eager", "sdpa"):
        try:
            model.set_attn_implementation(attn)
        except ValueError:
            assert attn == "sdpa"  # not every decoder has it
            continue
        dropped, kept = define(LLAVA, model, inputs, vision)
        with masked(LLAVA.layers(model), padding, dropped):
            wanted, tokens = decode(model, inputs, 4)
        with v2drop.dropping(model, LLAVA.schedule) as trace:
            got, _ = decode(model, inputs, 4, tokens)
        assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
        for ours, theirs in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours[:, -1], theirs[:, -1], **TOLERANCE)
        dense, _ = decode(model, inputs, 4, tokens)
        assert (dense[-1] - wanted[-1]).abs().max() > 1e-3  # else the masks prove nothing


@pytest.mark.no_cover
@pytest.mark.parametrize("name", sorted(PROVEN - OF_FAMILIES))
def test_a_drop_at_layer_0_equals_the_masked_oracle(name):
    """The decoder counts the positions of later tokens by itself."""
    if not exists(name):
        pytest.skip("this version of transformers does not have it")
    model = llava_with(name, **full_attention(name))
    inputs, vision = LLAVA.batch(LLAVA.prompts("image"))
    with v2drop.dropping(model, "0:0.5", method="uniform") as trace:
        got, tokens = decode(model, inputs, 3, placed=False)
    gone = set(vision[0]) - set(trace.events[0].kept[0])
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 4), value=1)
    with masked(LLAVA.layers(model), padding, {0: [gone]}):
        wanted, _ = decode(model, inputs, 3, tokens, placed=False)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours[:, -1], theirs[:, -1], **TOLERANCE)
    dense, _ = decode(model, inputs, 3, tokens, placed=False)
    assert (dense[-1] - wanted[-1]).abs().max() > 1e-3  # else the masks prove nothing


def test_the_list_names_what_the_families_run():
    ran = {case.make("sdpa").config.get_text_config().model_type for case in CASES.values()}
    assert ran <= PROVEN
    assert ran >= OF_FAMILIES
    assert any(exists(name) for name in PROVEN - OF_FAMILIES)


@pytest.mark.mode("a text decoder that is not on the list of proven ones", "refused",
                  "`allow_unproven=True` (`--allow-unproven`) serves it")  # fmt: skip
def test_a_decoder_that_nobody_tried_is_refused_unless_allowed(tmp_path):
    model = llava_with("llama")
    model.config.text_config.model_type = "unheard_of"
    inputs, _ = LLAVA.batch(LLAVA.prompts("image"))
    with pytest.raises(UnsupportedModelError, match="unheard_of decoder") as caught:
        v2drop.dropping(model, "1:0.5").__enter__()
    assert "--allow-unproven" in caught.value.hint
    with v2drop.dropping(model, "1:0.5", allow_unproven=True) as trace, torch.no_grad():
        model(**inputs)
    assert len(trace.events) == 1
    family_for(model.config, allow_unproven=True)


def test_a_loaded_model_brings_the_permission_and_the_caveat(tmp_path, monkeypatch):
    """As `--allow-unproven` does, were OLMo 2 not on the list."""
    monkeypatch.setattr(decoders, "PROVEN", PROVEN - {"olmo2"})
    given = SyntheticInput(((24, 24),), None, 7, 0)
    llava_with("olmo2").config.save_pretrained(tmp_path)
    options = {"weights": "dummy", "device": "cpu", "synthetic": given}
    with pytest.raises(UnsupportedModelError, match="olmo2 decoder"):
        v2drop.load(str(tmp_path / "config.json"), **options)
    loaded = v2drop.load(str(tmp_path / "config.json"), allow_unproven=True, **options)
    assert [caveat.code for caveat in loaded.caveats] == ["decoder_unproven"]
    tensors = synthetic_inputs(loaded, given).tensors
    with v2drop.dropping(loaded, "1:0.5") as trace, torch.no_grad():
        loaded.model(**tensors)
    assert len(trace.events) == 1


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("doge", {}, "masks of its own"),
        ("llama", {"is_causal": False}, "both directions"),
        ("starcoder2", {"sliding_window": 8}, "sliding"),
    ],
)
def test_what_is_wrong_stays_refused_whatever_is_allowed(name, changes, words):
    config = llava_with(name, **full_attention(name) | changes).config
    with pytest.raises(UnsupportedModelError, match=words):
        family_for(config, allow_unproven=True)


def test_a_decoder_without_rotary_tables_is_refused_by_name():
    """Were such a decoder called something else, the instrument itself would say so."""
    model = llava_with("biogpt")
    model.config.text_config.model_type = "unheard_of"
    inputs, _ = LLAVA.batch(LLAVA.prompts("image"))
    with (
        v2drop.dropping(model, "1:0.5", allow_unproven=True),
        pytest.raises(InstrumentError, match="no rotary tables"),
        torch.no_grad(),
    ):
        model(**inputs)


def test_configurations_of_the_list_exist():
    """A typing error in the list would be a decoder that nobody can have."""
    known = {name for name in PROVEN if exists(name)}
    assert len(known) > 45
    assert {AutoConfig.for_model(name).model_type for name in known} == known
