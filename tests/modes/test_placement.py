"""Models whose weights are elsewhere, or in another form."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import LlavaForConditionalGeneration

import v2drop_cli as v2drop
from tests.families import CASES
from tests.instrument.test_dropping import SHORT
from tests.instrument.test_oracle import TOLERANCE, decode
from tests.methods.entering import rows_of
from tests.methods.test_qapruner import by_hand
from tests.tiny_llava import PATCHES, make_llava, mixed_batch, one_prompt
from v2drop_cli.prove.oracle import decode as decode_any
from v2drop_cli.prove.oracle import define, masked

BATCHES = [one_prompt, mixed_batch]


def dropped_logits(model, inputs, tokens=None):
    with v2drop.dropping(model, SHORT) as trace:
        logits, tokens = decode(model, inputs, 2, tokens)
    assert [event.layer for event in trace.events] == [1, 6, 8]
    return logits, tokens


@pytest.mark.mode("`device_map` with weights on the CPU and on disk (accelerate)", "works")
@pytest.mark.parametrize("make", BATCHES)
def test_layers_that_are_loaded_for_each_forward(tmp_path, make):
    pytest.importorskip("accelerate")
    model, inputs = make_llava(12), make()
    wanted, tokens = dropped_logits(model, inputs)
    model.save_pretrained(tmp_path / "model")
    inner = model.model.language_model
    named = [f"model.language_model.{name}" for name, _ in inner.named_children()]
    places = dict.fromkeys(["model.vision_tower", "model.multi_modal_projector", "lm_head"], "cpu")
    places |= {name: "cpu" for name in named if not name.endswith("layers")}
    places |= {f"model.language_model.layers.{i}": "cpu" if i < 7 else "disk" for i in range(12)}
    spread = LlavaForConditionalGeneration.from_pretrained(
        tmp_path / "model", device_map=places, offload_folder=tmp_path / "disk"
    ).eval()
    devices = {weight.device.type for weight in spread.parameters()}
    assert devices == {"cpu", "meta"}
    got, _ = dropped_logits(spread, inputs, tokens)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


@pytest.mark.mode("`cpu_offload`: all weights fetched layer by layer (accelerate)", "works")
@pytest.mark.parametrize("make", BATCHES)
def test_weights_fetched_layer_by_layer(make):
    accelerate = pytest.importorskip("accelerate")
    model, inputs = make_llava(12), make()
    wanted, tokens = dropped_logits(model, inputs)
    accelerate.cpu_offload(model, execution_device="cpu")
    assert {weight.device.type for weight in model.parameters()} == {"meta"}
    got, _ = dropped_logits(model, inputs, tokens)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


def int8(model):
    """``model`` with its weights in 8 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao's own, about its kernels for GPUs
        torchao = pytest.importorskip("torchao.quantization", exc_type=ImportError)
    torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
    return model


@pytest.mark.mode("int8 weights (torchao, weight-only)", "works")
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test_quantised_weights(name):
    case = CASES[name]
    model = int8(case.make("sdpa"))
    weight = case.layers(model)[0].mlp.up_proj.weight
    assert type(weight) is not torch.nn.Parameter
    inputs, vision = case.batch(case.prompts("ragged"))
    dropped, kept = define(case, model, inputs, vision)
    padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 3), value=1)
    with masked(case.layers(model), padding, dropped):
        wanted, tokens = decode_any(model, inputs, 3)
    with v2drop.dropping(model, case.schedule) as trace:
        got, _ = decode_any(model, inputs, 3, tokens)
    assert {e.layer: [list(row) for row in e.kept] for e in trace.events} == kept
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a[:, -1], b[:, -1], **TOLERANCE)


@pytest.mark.mode("`qapruner` on int8 weights (torchao, weight-only)", "works")
@pytest.mark.parametrize("positions", ["original", "renumbered"])
def test_a_method_for_quantised_models_on_one(positions):
    """It keeps what its definition says of the quantised model's own embeddings."""
    model, inputs = int8(make_llava(12)), mixed_batch()
    assert type(model.model.language_model.layers[0].mlp.up_proj.weight) is not torch.nn.Parameter
    rows = rows_of(model, inputs)
    method = f"qapruner:group=16,positions={positions}"
    with v2drop.dropping(model, "0:8t", method=method) as trace:
        got, tokens = decode(model, inputs, 2)
    dropped = []
    for found, (states, vision, _, after) in zip(trace.events[0].kept, rows, strict=True):
        pictures = [PATCHES] * (len(vision) // PATCHES)
        places = by_hand(states[vision], states[after], 8, pictures, group=16) if vision else []
        assert list(found) == [vision[i] for i in places]
        dropped.append(set(vision) - set(found))
    if positions == "original":
        padding = torch.nn.functional.pad(inputs["attention_mask"], (0, 2), value=1)
        with masked(model.model.language_model.layers, padding, {0: dropped}):
            wanted, _ = decode(model, inputs, 2, tokens)
        for a, b in zip(got[1:], wanted[1:], strict=True):
            torch.testing.assert_close(a, b, **TOLERANCE)
