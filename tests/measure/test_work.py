"""FLOPs and bytes against torch's own counter, layer by layer, and against the live cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from tests.checkpoints import save_checkpoint
from tests.families import CASES
from tests.families.loaded import case_passes, loaded_case
from tests.measure.spelled_out import spelled_out
from tests.release import CACHE
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.generate.decoding import cache_bytes, new_cache
from v2drop_cli.generate.greedy import drop_idle_mask, greedy
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.work import DecoderShape, decoder_shape, limit, memory_bandwidth
from v2drop_cli.media import load_image
from v2drop_cli.models.parts import language_head
from v2drop_cli.prove.cases.case import TEXT, build
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
ARMS = [
    Arm("dense"),
    Arm("v2drop", "v2drop", Schedule.parse("1:0.5,3:0.3,4:0")),
    Arm("random", "random", Schedule.parse("2:7t")),
    Arm("entry", "uniform", Schedule.parse("0:0.5,3:0.3")),
]
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
SHAPE = DecoderShape((100, 100), 50, 1000, 4, 2, 8, 2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(save_checkpoint(tmp_path_factory.mktemp("model")))


def passes_for(checkpoint, attn, batch=1):
    loaded = load(checkpoint, device="cpu", attn_implementation=attn)
    return Passes(Subject(loaded, [load_image(CAT)], "what?", batch), Nvml(loaded.device))


def counted(passes, arm, tokens):
    """FLOPs of the decoder's layers and the head, by torch's counter, and the cache."""
    loaded = passes.loaded
    loaded.model.requires_grad_(False)  # torch's counter stumbles over a weight that is an input
    cache, layers = new_cache(loaded), loaded.family.layers(loaded.model)
    with spelled_out(layers), arm.applied(loaded), FlopCounterMode(display=False) as counter:
        list(greedy(loaded.model, drop_idle_mask(passes.inputs.tensors), cache, tokens))
    return flops_in(counter, loaded.model, parts_of(loaded)), cache


def flops_in(counter, model, parts):
    """What was counted inside `parts`: elsewhere, older rotary tables are matrix products too."""
    parts = {id(part) for part in parts}
    names = [name for name, module in model.named_modules() if id(module) in parts]
    counts = counter.get_flop_counts()
    return sum(sum(counts[f"{type(model).__name__}.{name}"].values()) for name in names)


def parts_of(loaded):
    return (*loaded.family.layers(loaded.model), language_head(loaded.model))


def check(passes, arm, idle_bytes=0):
    """Every count of `arm` is torch's, and its bytes are the weights' and the cache's."""
    found = passes.limit(arm)
    prefill, cache = counted(passes, arm, 1)
    assert found.prefill_flops == prefill
    both, longer = counted(passes, arm, 2)
    assert found.decode_flops_per_token == both - prefill
    parameters = {p.data_ptr(): p for part in parts_of(passes.loaded) for p in part.parameters()}
    weights = sum(p.nbytes for p in parameters.values()) - idle_bytes
    assert found.prefill_bytes == weights + cache_bytes(cache)
    assert found.decode_bytes_per_token == weights + cache_bytes(longer) + thrown_away(longer)
    assert found.decode_floor_s_per_token is None


def thrown_away(cache):
    """Of layers whose window is full: the one column that was read, and is not held any more."""
    sliding = [one for one in cache.layers if getattr(one, "is_sliding", False)]
    full = [one for one in sliding if one.keys.shape[2] < one.cumulative_length]
    return sum((one.keys.nbytes + one.values.nbytes) // one.keys.shape[2] for one in full)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.label)
def test_flops_are_torchs_and_bytes_the_caches(checkpoint, arm):
    for batch in (1, 2):
        check(passes_for(checkpoint, "eager", batch), arm)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", CASES)
def test_in_every_family(name):
    """Dense and dropped, of an image; dropped, of a video."""
    loaded, case = loaded_case(name), CASES[name]
    idle = idle_bytes(loaded.model)
    if idle:  # torch's counter has no formula for grouped products
        loaded.model.set_experts_implementation("eager")
    arms = [Arm("dense"), Arm("v2drop", "v2drop", Schedule.parse(case.schedule))]
    for frames in (None, 4) if case.video else (None,):
        passes = case_passes(loaded, 2, frames)
        for arm in arms if frames is None else arms[1:]:
            check(passes, arm, idle)


def idle_bytes(model):
    """Experts that one token does not take, from the configuration; Llama 4 runs all of them."""
    config = model.config.get_text_config()
    if config.model_type == "llama4_text":
        return 0
    experts = [p for p in model.parameters() if p.ndim == 3 and p.shape[0] == experts_of(config)]
    names = ("moe_topk", "num_experts_per_tok", "top_k_experts")
    taken = next(filter(None, (getattr(config, name, None) for name in names)), 0)
    idle = sum(p.nbytes * (len(p) - taken) // len(p) for p in experts)
    return idle + unread_bytes(model, config)


def unread_bytes(model, config):
    """Of Qwen4-Exp's tables for ids in a row, all rows but one for each of its heads."""
    tables = [p for name, p in model.named_parameters() if "ngram_embedding" in name]
    read = (getattr(config, "ngram_size", 1) - 1) * getattr(config, "heads_per_ngram", 0)
    return sum((len(table) - read) * table[0].nbytes for table in tables)


def experts_of(config):
    return next((getattr(config, n) for n in EXPERTS if getattr(config, n, None)), None)


def test_a_tied_head_is_counted_like_any_other():
    case = CASES["qwen2_vl"]
    config = case.config(TEXT, case.ids)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    loaded = replace(loaded_case("qwen2_vl"), model=build(case.model, config, "eager"))
    words = loaded.model.get_input_embeddings().weight
    assert loaded.model.get_output_embeddings().weight.data_ptr() == words.data_ptr()
    check(case_passes(loaded), ARMS[1])


SMALL = {**TEXT, "num_hidden_layers": 2}
MIXTURE = {
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 12,
    "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [1],
}  # fmt: skip


def shape_of(model):
    return decoder_shape(model.model.layers, model.get_output_embeddings(), model.config)


def forward_flops(model, tokens):
    ids = torch.arange(10, 10 + tokens)[None]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        cache = model(input_ids=ids, logits_to_keep=1)[CACHE]
    return flops_in(counter, model, (*model.model.layers, model.lm_head)), cache


def test_a_mixture_of_experts_counts_those_that_a_token_takes():
    """One layer of experts and one without; heads wider than the hidden size, normed."""
    torch.manual_seed(0)
    config = transformers.Qwen3MoeConfig(**SMALL, **MIXTURE)
    model = build(transformers.Qwen3MoeForCausalLM, config, "eager")
    model.set_experts_implementation("eager")
    shape = shape_of(model)
    found, cache = forward_flops(model, 9)
    assert shape.flops([9, 9], [9, 9], 1) == found
    assert shape.kv_bytes([9, 9], 1) == cache_bytes(cache)
    experts = model.model.layers[0].mlp.experts
    idle = sum(p.nbytes for p in experts.parameters()) // 2
    parts = (*model.model.layers, model.lm_head)
    assert shape.weight_bytes == sum(p.nbytes for m in parts for p in m.parameters()) - idle


def test_fused_projections_are_seen():
    model = build(transformers.Phi3ForCausalLM, transformers.Phi3Config(**SMALL), "eager")
    assert shape_of(model).flops([9, 9], [9, 9], 1) == forward_flops(model, 9)[0]


LATENT = {
    "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
    "v_head_dim": 8, "first_k_dense_replace": 2, "num_key_value_heads": 4,
}  # fmt: skip


def test_what_is_built_some_other_way_has_no_count():
    """Latents of wrong widths, other kinds of maps, no head, two attentions, listed experts."""
    latent = transformers.DeepseekV3Config(**{**SMALL, **LATENT})
    gpt = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64)
    with torch.device("meta"):
        model = transformers.DeepseekV3ForCausalLM(latent)
        assert shape_of(model) is not None
        model.model.layers[1].self_attn.v_head_dim = 4  # not what the projections are
        assert shape_of(model) is None
        model = transformers.GPT2LMHeadModel(gpt)
        assert decoder_shape(model.transformer.h, model.lm_head, gpt) is None
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL))
    assert shape_of(model) is not None
    assert decoder_shape(model.model.layers, None, model.config) is None
    model.config.head_dim = 4  # not what the projections are
    assert shape_of(model) is None
    model.config.head_dim = 8
    layer = model.model.layers[1]
    layer.add_module("cross_attn", layer.self_attn)
    assert shape_of(model) is not None  # the same module twice is one
    layer.cross_attn = type(layer.self_attn)(model.config, 1)
    assert shape_of(model) is None
    del layer.cross_attn
    assert shape_of(model) is not None
    layer.mlp.experts = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    assert shape_of(model) is None


def test_an_unknown_decoder_is_profiled_without_counts(checkpoint, monkeypatch):
    import v2drop_cli.bench.passes as module

    monkeypatch.setattr(module, "decoder_shape", lambda *args: None)
    assert passes_for(checkpoint, "eager").limit(ARMS[0]) is None


def test_torch_does_not_count_the_cpus_fused_attention(checkpoint):
    """With sdpa on a CPU torch's counter misses attention: its kernel there has no formula."""
    passes, arm = passes_for(checkpoint, "sdpa"), ARMS[1]
    columns = [passes.inputs.tensors["input_ids"].shape[1] - 36 + n for n in (36, 18, 18, 5, 0, 0)]
    attention = 2 * 2 * 4 * 8 * sum(c * c for c in columns)  # heads 4 of size 8
    prefill, _ = counted(passes, arm, 1)
    assert passes.limit(arm).prefill_flops == prefill + attention


def test_by_hand():
    # Two layers of 3 and 2 columns: 2 · (100·5 + 2·4·8·(9 + 4) + 50).
    found = limit(SHAPE, [3, 2], 1, bandwidth=100.0)
    assert found.prefill_flops == 2 * (500 + 64 * 13 + 50)
    assert found.prefill_bytes == 1000 + 2 * 2 * 8 * 2 * 5
    assert found.decode_flops_per_token == 2 * (200 + 64 * 7 + 50)
    assert found.decode_bytes_per_token == 1000 + 64 * 7
    assert found.decode_floor_s_per_token == 14.48
    assert limit(SHAPE, [3, 2], 1, None) == replace(found, decode_floor_s_per_token=None)


def test_bandwidth_is_known_or_not(monkeypatch):
    h100 = SimpleNamespace(memory_clock_rate=2_619_000, memory_bus_width=5120)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: h100)
    assert memory_bandwidth(torch.device("cuda")) == pytest.approx(3.352e12, rel=1e-3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace())
    assert memory_bandwidth(torch.device("cuda")) is None
    assert memory_bandwidth(torch.device("cpu")) is None
