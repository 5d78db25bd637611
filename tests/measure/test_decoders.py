"""FLOPs of every text decoder that a LLaVA may hold: torch's count of them, or none at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.families import CASES
from tests.families.loaded import case_passes, loaded_case
from tests.measure.test_work import flops_in
from tests.report import factory
from tests.text_decoders import exists, llava_with
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.comparison import compare
from v2drop_cli.measure.counted import COUNTED
from v2drop_cli.measure.work import decoder_shape
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.schedule import Schedule
from v2drop_cli.units import NOT_AVAILABLE

# Folders of transformers whose text configuration has another name.
NAMES = {"gemma3": "gemma3_text"}
OF_FAMILIES = (
    *("glm4v", "glm4v_moe", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"),
    *("gemma3n", "gemma4", "gemma4_unified"),
    *("glm_ocr", "granite_docling", "hunyuan_vl", "paddleocr_vl", "cohere_compass"),
    "step3p7",
    *("granite4_vision", "qwen2_5_omni", "qwen3_omni_moe", "qwen3_5", "qwen3_5_moe"),
    *("cosmos3_edge", "molmo2", "aria", "deepseek_ocr2", "llama4", "muse_glimmer"),
    *(
        "lfm3",
        "muse_spark",
        "dots3_note",
        "nemotron_h",
        "qwen4_exp",
        "mistral_large4",
        "unlimited_ocr",
        "glm5_next",
        "phi4_multimodal",
    ),
)
FAMILIES = {name for name in OF_FAMILIES if exists(name)}
DECODERS = [name for name in sorted(COUNTED - FAMILIES) if exists(name)]
# What has no count, for what it does beside the plain formula: a second product with the values,
# latent keys, sinks, recurrence, experts in a list.
OTHERS = (
    "diffllama", "deepseek_v2", "gpt_oss", "ernie4_5_moe",
    "hunyuan_v1_moe", "qwen3_next", "minicpm3", "doge",
)  # fmt: skip
TOKENS = 9


def small(name):
    """Two layers are enough to count."""
    return llava_with(NAMES.get(name, name), num_hidden_layers=2)


def parts_of(model):
    """Not by way of the family, which refuses sliding windows: here they are no matter."""
    return model.model.language_model.layers, model.get_output_embeddings()


def shape_of(model):
    return decoder_shape(*parts_of(model), model.config.get_text_config())


@pytest.mark.parametrize("name", DECODERS)
def test_the_count_is_torchs(name):
    model = small(name)
    shape, (layers, head) = shape_of(model), parts_of(model)
    assert shape is not None
    if hasattr(model.config.get_text_config(), "num_experts_per_tok"):
        model.set_experts_implementation("eager")  # grouped products have no formula in torch
    ids = torch.arange(10, 10 + TOKENS)[None]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=ids, logits_to_keep=1)
    columns = [TOKENS] * len(layers)
    assert shape.flops(columns, columns, 1) == flops_in(counter, model, (*layers, head))


@pytest.mark.parametrize("name", [name for name in OTHERS if exists(name)])
def test_what_does_something_else_has_no_count(name):
    assert shape_of(small(name)) is None


def test_every_counted_decoder_is_checked():
    """Those of whole families are, in `test_limits`, which goes over all cases."""
    assert {*DECODERS, *FAMILIES} == {
        name for name in COUNTED if exists(name)
    }  # fmt: skip
    ran = {type(layer).__module__.split(".")[2] for name in CASES for layer in layers_of(name)}
    assert ran >= FAMILIES


def layers_of(name):
    loaded = loaded_case(name)
    return loaded.family.layers(loaded.model)


def test_a_layer_of_ones_own_has_no_count_whatever_the_configuration_says():
    model = small("llama")
    layers, head = parts_of(model)
    config = model.config.get_text_config()
    assert decoder_shape(layers, head, config) is not None

    class Layer(type(layers[0])):
        """May do anything in its forward."""

    layers[1].__class__ = Layer
    assert decoder_shape(layers, head, config) is None


def test_without_a_count_there_is_no_ideal_speedup():
    """Up to the report, where it is n/a."""
    loaded = replace(loaded_case("llava"), model=small("diffllama"))
    arms = (Arm("dense"), Arm("v2drop", "v2drop", Schedule.parse("1:0.5")))
    passes = case_passes(loaded)
    assert [passes.limit(arm) for arm in arms] == [None, None]
    dense, dropped = (replace(arm, limit=None) for arm in (factory.dense(), factory.dropped()))
    found = compare(dense, dropped)
    assert (found.ideal_prefill_speedup, found.realised_over_ideal) == (None, None)
    assert found.prefill_speedup is not None
    report = replace(factory.profiled(), arms=(dense, dropped), comparisons=(found,))
    [section] = [s for s in build_view(report).sections if s.title == "Against the limit"]
    rows = {row.label: [cell.text for cell in row.cells] for row in section.rows}
    assert rows["prefill work"] == [NOT_AVAILABLE, NOT_AVAILABLE]
    assert rows["ideal speed-up"][1] == rows["realised"][1] == NOT_AVAILABLE
