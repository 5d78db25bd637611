"""FLOPs and bytes against torch's own counter, layer by layer, and against the live cache."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.checkpoints import save_checkpoint
from v2drop_cli import load
from v2drop_cli.generate import drop_idle_mask, greedy
from v2drop_cli.measure.limits import DecoderShape, limit, memory_bandwidth
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.run.arms import Arm
from v2drop_cli.run.decoding import cache_bytes, new_cache
from v2drop_cli.run.passes import Passes, Subject
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
ARMS = [
    Arm("dense"),
    Arm("v2drop", "v2drop", Schedule.parse("1:0.5,3:0.3,4:0")),
    Arm("random", "random", Schedule.parse("2:7t")),
]
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
    cache = new_cache(loaded)
    with arm.applied(loaded), FlopCounterMode(display=False) as counter:
        list(greedy(loaded.model, drop_idle_mask(passes.inputs.tensors), cache, tokens))
    parts = re.compile(r".*language_model\.layers\.\d+|\w+\.lm_head")
    counts = counter.get_flop_counts()
    return sum(sum(counts[name].values()) for name in counts if parts.fullmatch(name)), cache


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.label)
def test_flops_are_torchs_and_bytes_the_caches(checkpoint, arm):
    for batch in (1, 2):
        passes = passes_for(checkpoint, "eager", batch)
        found = passes.limit(arm)
        prefill, cache = counted(passes, arm, 1)
        assert found.prefill_flops == prefill
        both, _ = counted(passes, arm, 2)
        assert found.decode_flops_per_token == both - prefill
        layers = passes.loaded.family.layers(passes.loaded.model)
        parts = (*layers, passes.loaded.model.lm_head)
        weights = sum(p.nbytes for part in parts for p in part.parameters())
        assert found.prefill_bytes == weights + cache_bytes(cache)
        assert found.decode_floor_s_per_token is None


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
