"""Compiled decoding: the eager tokens, from a graph that reads nothing but what is kept for it."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from tests.checkpoints import save_checkpoint
from tests.families import CASES, FIRST, NAMES
from tests.families.loaded import loaded_case
from tests.graphs import Tape
from tests.instrument.test_dropping import hook_tables
from tests.matrix.truth import attends
from tests.measure.conftest import FakeCuda
from v2drop_cli import load
from v2drop_cli.bench import passes
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.stages import time_stages
from v2drop_cli.commands.profile import ProfileOptions, StopRule, profile
from v2drop_cli.errors import InstrumentError, UsageError
from v2drop_cli.generate import decoding
from v2drop_cli.generate.decoding import Compiled, CudaGraph, cache_bytes, check_decoding
from v2drop_cli.generate.fixed_cache import FixedCache, FixedLayer, states_of
from v2drop_cli.generate.greedy import drop_idle_mask, greedy, next_positions
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.measure.clock import CudaClock, FakeClock
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.decoders import answer_window, indexed, windows
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.models.registry import family_for
from v2drop_cli.prove.cases.case import TEXT, schedule_text
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
TOKENS = 6
# Kimi's latent attention makes a number on the host at every step, which no graph records.
UNRECORDED = ("kimi_k25",)
CONFIGS = {name: CASES[name].config(TEXT, CASES[name].ids) for name in NAMES}
WINDOWED = [n for n, of in CONFIGS.items() if windows(of) or answer_window(of)]
INDEXED = [n for n, of in CONFIGS.items() if indexed(of.get_text_config())]
SERVED = [name for name in NAMES if name not in (*UNRECORDED, *WINDOWED, *INDEXED)]
EAGER = NAMES[:4]
CELLS = [
    pytest.param(name, attn, shape, id=f"{name}-{attn}-{shape}")
    for name in SERVED  # sliding windows are refused, see below
    # Eager attention is served nowhere; the first families show that it would be alike.
    for attn in (("sdpa", "eager") if name in EAGER else ("sdpa",))
    for shape in ("image", "ragged", "video")
    if shape in CASES[name].shapes
]


def is_tried(name, shape, dropped):
    """The very first in every way, the first with drops or ragged, the others with both."""
    if name in EAGER:
        return True
    return (dropped or shape == "ragged") if name in FIRST else (dropped and shape == "ragged")


REPLAYS = [
    pytest.param(*cell.values, dropped, id=f"{cell.id}-{'dropped' if dropped else 'dense'}")
    for cell in CELLS
    for dropped in (False, True)
    if is_tried(cell.values[0], cell.values[2], dropped)
]


@cache
def made(name, attn):
    model = CASES[name].make(attn)
    device, family = torch.device("cpu"), family_for(model.config)
    return LoadedModel(model, None, family, device, torch.float32, name, None, "dummy")


def arm_of(case, model, dropped):
    return partial(dropping, model, case.schedule) if dropped else nullcontext


def eager(loaded, tensors, applied):
    """Tokens [TOKENS, B] and the cache, the plain way."""
    held = DynamicCache(config=loaded.model.config)
    with applied():
        tokens = list(greedy(loaded.model, ready(loaded, tensors), held, TOKENS))
    return torch.stack(tokens), held


def ready(loaded, tensors):
    """As every generation is given them."""
    return drop_idle_mask(tensors, loaded.family.counts_by_mask)


def replayed(compiled, tensors, applied):
    with applied():
        return torch.stack(list(compiled.tokens(tensors)))


# The same tokens ------------------------------------------------------------------------------


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "attn", "shape", "dropped"), REPLAYS)
def test_a_replay_gives_the_tokens_of_eager_decoding(name, attn, shape, dropped):
    case, loaded = CASES[name], made(name, attn)
    lengths = replays_like_eager(loaded, name, shape, arm_of(case, loaded.model, dropped))
    assert len(set(lengths)) == (lengths_told(case, loaded, case.drops) if dropped else 1)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name in SERVED
        for shape in ("image", "ragged")
        if CASES[name].entry and name in FIRST
    ],
)
def test_a_replay_after_a_drop_at_layer_0_does_too(name, shape):
    """The fixed cache of layer 0 tells the whole length, and has room for what it holds."""
    case, loaded = CASES[name], made(name, "sdpa")
    entry = schedule_text(case.entry)
    applied = partial(dropping, loaded.model, entry, method="uniform")
    # What layer 0 says is the whole sequence; each of the two drops leaves a length of its own.
    lengths = replays_like_eager(loaded, name, shape, applied)
    assert len(set(lengths)) == lengths_told(case, loaded, case.entry)


def lengths_told(case, loaded, drops):
    """How many lengths the layers with columns tell; the first one tells the whole sequence's."""
    columns = [i for i, layer in enumerate(case.layers(loaded.model)) if attends(layer)]
    return len({0} | {sum(at <= i for at, _ in drops) for i in columns[1:]})


def replays_like_eager(loaded, name, shape, applied):
    """Also on other pixels than the recorded ones, and on the recorded ones after them.

    Returns the lengths of the cache's layers.
    """
    case, attn = CASES[name], loaded.attn_implementation
    tensors, _ = case.batch(case.prompts(shape))
    others = {k: -v if v.is_floating_point() and "pixel" in k else v for k, v in tensors.items()}
    tape = Tape(uploads=attn == "eager")  # of this only older transformers have need
    eager(loaded, tensors, applied)  # transformers puts hooks of its own on a model's first run
    before = hook_tables(loaded.model)
    inputs = Inputs(tensors, VisionTokens((), ()))
    compiled = Compiled(loaded, inputs, TOKENS, tape, applied)
    assert hook_tables(loaded.model) == before
    seen = []
    for prompt in (tensors, others, tensors):
        wanted, plain = eager(loaded, prompt, applied)
        seen.append(plain.layers[-1].keys)
        assert torch.equal(replayed(compiled, ready(loaded, prompt), applied), wanted)
        assert compiled.kv_bytes() == cache_bytes(plain)
        for ours, theirs in zip(compiled._cache.layers, plain.layers, strict=True):
            if isinstance(ours, FixedLayer):
                assert torch.equal(ours.buffers[0], theirs.keys)
            for state, wanted_state in zip(states_of(ours), states_of(theirs), strict=True):
                assert torch.equal(state, wanted_state)
    assert not torch.equal(seen[0], seen[1])  # else nothing proves that the prompt was read
    assert tape.log == ["rehearse", "capture", *["replay"] * 3]
    return compiled._cache.lengths


@pytest.mark.parametrize(("shape", "masked"), [("image", False), ("ragged", True)])
def test_recorded_attention_has_a_mask_only_where_the_eager_one_has(shape, masked):
    """transformers makes more masks while a stream is captured, up to some version for any row."""
    loaded, case = made("llava", "sdpa"), CASES["llava"]
    tensors, _ = case.batch(case.prompts(shape))
    tape = Tape()
    applied = arm_of(case, loaded.model, True)
    Compiled(loaded, Inputs(tensors, VisionTokens((), ())), TOKENS, tape, applied)
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
    masks = [kwargs.get("attn_mask") for func, _, kwargs, _ in tape.places if func is fused]
    assert len(masks) == loaded.n_layers * (TOKENS - 1)
    assert {mask is not None for mask in masks} == {masked}


def test_positions_made_beforehand_are_the_models_own():
    for name in NAMES:
        case, loaded = CASES[name], made(name, "sdpa")
        for shape in case.shapes if name in FIRST else list(case.shapes)[-1:]:
            tensors, _ = case.batch(case.prompts(shape))
            short = ready(loaded, tensors)
            at = next_positions(loaded.model, short, loaded.family.first_position)
            held = DynamicCache(config=loaded.model.config)
            told = list(greedy(loaded.model, short, held, TOKENS, at))
            assert torch.equal(torch.stack(told), eager(loaded, tensors, nullcontext)[0])


def test_a_single_token_needs_no_graph():
    loaded, case = made("llava", "sdpa"), CASES["llava"]
    tensors, _ = case.batch(case.prompts("image"))
    tape = Tape()
    compiled = Compiled(loaded, Inputs(tensors, VisionTokens((), ())), 1, tape, nullcontext)
    tokens = list(compiled.tokens(drop_idle_mask(tensors)))
    assert torch.equal(torch.stack(tokens), eager(loaded, tensors, nullcontext)[0][:1])
    assert "capture" not in tape.log


def test_a_prompt_of_another_length_is_refused():
    loaded, case = made("llava", "sdpa"), CASES["llava"]
    tensors, _ = case.batch(case.prompts("image"))
    compiled = Compiled(loaded, Inputs(tensors, VisionTokens((), ())), 3, Tape(), nullcontext)
    shorter = dict(tensors, input_ids=tensors["input_ids"][:, :-1])
    with pytest.raises(InstrumentError, match="other lengths"):
        list(compiled.tokens(drop_idle_mask(shorter | {"attention_mask": torch.ones(1, 1)})))


def test_the_masks_are_kept_and_the_tape_would_notice():
    loaded, case = made("llava", "sdpa"), CASES["llava"]
    tensors, _ = case.batch(case.prompts("ragged"))
    applied = arm_of(case, loaded.model, True)
    compiled = Compiled(loaded, Inputs(tensors, VisionTokens((), ())), 3, Tape(), applied)
    assert any(mask is not None for mask in compiled._masks)
    compiled._masks.clear()
    with pytest.raises(AssertionError, match="freed"):
        replayed(compiled, tensors, applied)


# The cache ------------------------------------------------------------------------------------


def test_a_fixed_cache_stays_where_it_is_and_refuses_more():
    config = made("llava", "sdpa").model.config
    fixed = FixedCache(config, 2)
    assert (fixed.nbytes, set(fixed.lengths)) == (0, {0})
    states = [torch.randn(1, 2, 3, 8), torch.randn(1, 2, 1, 8), torch.randn(1, 2, 1, 8)]
    for _ in range(2):
        for state in states:
            keys, values = fixed.update(state, -state, 0)
        assert torch.equal(keys, torch.cat(states, dim=2))
        assert torch.equal(values, -keys)
        assert fixed.nbytes == keys.nbytes + values.nbytes
        with pytest.raises(InstrumentError, match=r"cannot take .* after 5 columns"):
            fixed.update(states[1], states[1], 0)
        address = keys.data_ptr()
        fixed.rewind()
        assert fixed.lengths[0] == 0
        assert fixed.update(states[0], states[0], 0)[0].data_ptr() == address
        fixed.rewind()
    with pytest.raises(InstrumentError, match="cannot take"):
        fixed.update(torch.randn(2, 2, 3, 8), torch.randn(2, 2, 3, 8), 0)


def test_a_fixed_cache_serves_full_attention_only():
    config = replace_text(made("qwen2_vl", "sdpa").model.config, "sliding_attention")
    with pytest.raises(InstrumentError, match="DynamicSlidingWindowLayer"):
        FixedCache(config, 2)


def replace_text(config, kind):
    changed = type(config).from_dict(config.to_dict())
    text = changed.get_text_config()
    text.sliding_window = 4
    text.layer_types = [kind] * text.num_hidden_layers
    return changed


# A whole profile ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def taped(monkeypatch):
    """A CPU that has graphs."""
    tapes = []

    def new(device):
        tapes.append(Tape())
        return tapes[-1]

    monkeypatch.setattr(passes, "new_graph", new)
    monkeypatch.setattr(passes, "check_decoding", lambda loaded, decode: None)
    return tapes


def options(decode):
    arms = ArmOptions(ScheduleOptions(schedules=("1:0.5,3:0.3",)))
    return ProfileOptions(
        "what?", "small", arms, StopRule(3, 0.01, 0.0), True, 3, 4, 1, decode=decode
    )


def test_a_compiled_profile_is_an_eager_one_but_for_the_times(loaded, taped):
    plain, report = (profile(loaded, [load_image(CAT)], options(d)) for d in ("eager", "compiled"))
    assert (plain.request.decode, report.request.decode) == ("eager", "compiled")
    assert [arm.answer for arm in report.arms] == [arm.answer for arm in plain.arms]
    for arm, other in zip(report.arms, plain.arms, strict=True):
        assert arm.memory.kv_cache_bytes == other.memory.kv_cache_bytes
        assert arm.capture_s > 0
        assert other.capture_s is None
    # One for each memory pass, one for each arm's trials: the null is an arm of its own.
    assert len(taped) == 2 * (len(report.arms) + 1)
    assert [tape.log.count("replay") for tape in taped] == [1] * 4 + [1 + 3] * 4
    assert all(tape.log.count("capture") == 1 for tape in taped)


@pytest.mark.parametrize("method", [None, "v2drop"])
def test_replaying_waits_for_the_device_no_more_than_eager_does(loaded, taped, monkeypatch, method):
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    schedule = Schedule.parse("1:0.5,3:0.3") if method else None
    arm = Arm("arm", method, schedule)
    subject = Subject(loaded, [load_image(CAT)], "what?", decode="compiled")
    found = Passes(subject, Nvml(loaded.device))
    clock = CudaClock(torch.device("cuda"))
    for _ in range(2):  # recorded before the first, not in it
        cuda.log.clear()
        found.time(arm, clock, 4)
        calls = [name for name, _ in cuda.log]
        assert calls.count("synchronize") == 2
        assert (calls[0], calls[-1]) == ("synchronize", "synchronize")
        assert calls.count("record") == 8 + (6 if method else 0)
    assert [tape.log.count("replay") for tape in taped] == [2]
    assert found.capture_s(arm) > 0
    assert found.capture_s(replace(arm)) is None


def test_stages_of_a_compiled_generation_are_exact(loaded):
    inputs = Subject(loaded, [load_image(CAT)], "what?").prepare()
    compiled = Compiled(loaded, inputs, 5, Tape(), nullcontext)
    clock = FakeClock([0.0, 0.25, 0.75, 1.0, 1.125, 2.0, 5.0, 9.0])
    times = time_stages(loaded, inputs, clock, 5, compiled)
    assert (times.vision_s, times.prefill_s, times.decode_s_per_token) == (2.0, 3.0, 1.0)
    assert times.host_wait_s is None


# Refusals -------------------------------------------------------------------------------------


def test_what_compiled_decoding_serves(loaded):
    check_decoding(loaded, "eager")
    with pytest.raises(UsageError, match="cpu does not have") as caught:
        check_decoding(loaded, "compiled")
    assert caught.value.hint == "--decode eager, or --device cuda"
    on_gpu = replace(loaded, device=torch.device("cuda"))
    check_decoding(on_gpu, "compiled")
    text = loaded.model.config.get_text_config()
    was = text._attn_implementation
    try:
        for name in ("eager", "flex_attention", "flash_attention_2"):
            text._attn_implementation = name
            with pytest.raises(UsageError, match=f"does not serve {name} attention") as caught:
                check_decoding(on_gpu, "compiled")
            assert caught.value.hint == "--attn-implementation sdpa"
    finally:
        text._attn_implementation = was


# CUDA, as far as it can be looked at without one ----------------------------------------------


class FakeGraphs:
    """What torch.cuda is asked for while recording, in order."""

    def __init__(self, monkeypatch):
        self.log = log = []
        fresh = cache(decoding._side_stream.__wrapped__)  # no fake may outlive the test
        monkeypatch.setattr(decoding, "_side_stream", fresh)

        class Stream:
            def __init__(self, name):
                self.name = name

            def wait_stream(self, other):
                log.append(f"{self.name} waits for {other.name}")

        @contextmanager
        def within(what):
            log.append(f"in {what}")
            yield
            log.append(f"out of {what}")

        class CUDAGraph:
            def replay(self):
                log.append("replay")

        for name, value in {
            "CUDAGraph": CUDAGraph,
            "Stream": lambda device: Stream("side"),
            "current_stream": lambda device: Stream("main"),
            "stream": lambda stream: within(stream.name),
            "device": lambda device: within(str(device)),
            "set_stream": lambda stream: log.append(f"on {stream.name} again"),
            "graph": lambda graph, stream: within(f"graph on {stream.name}"),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)


def test_recording_on_cuda_warms_up_aside_and_captures_once(monkeypatch):
    fake = FakeGraphs(monkeypatch)
    graph = CudaGraph(torch.device("cuda", 1))
    graph.rehearse(lambda: fake.log.append("work"))
    assert fake.log == [
        *("side waits for main", "in side", "work", "out of side", "main waits for side"),
    ]
    fake.log.clear()
    assert graph.capture(lambda: fake.log.append("work") or [1]) == [1]
    graph.replay()
    assert fake.log == [
        "in cuda:1",
        "in graph on side",
        "work",
        "out of graph on side",
        "out of cuda:1",
        "replay",
    ]


def test_all_graphs_of_a_device_are_rehearsed_and_recorded_on_one_stream(monkeypatch):
    """Torch keeps a workspace per stream, which would look like memory of the next arm."""
    FakeGraphs(monkeypatch)
    made = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(device) or decoding)
    device = torch.device("cuda", 1)
    assert decoding._side_stream(device) is decoding._side_stream(torch.device("cuda", 1))
    assert made == [device]


def test_what_cannot_be_recorded_says_so(monkeypatch):
    fake = FakeGraphs(monkeypatch)
    graph = decoding.new_graph(torch.device("cuda"))

    def work():
        raise RuntimeError("operation not permitted when stream is capturing\nlong story")

    with pytest.raises(InstrumentError, match=r"recorded: operation not permitted.*capturing$"):
        graph.capture(work)
    assert fake.log[-1] == "on main again"

    def exhausted():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        graph.capture(exhausted)


@pytest.mark.parametrize(
    ("name", "reason"),
    [(name, "sliding windows") for name in WINDOWED]
    + [(name, "index") for name in INDEXED if name not in WINDOWED],
)
def test_compiled_decoding_has_no_cache_for_windows_and_indexes(name, reason):
    served = replace(loaded_case(name), device=torch.device("cuda"))
    with pytest.raises(UsageError, match=reason) as caught:
        check_decoding(served, "compiled")
    assert caught.value.hint == "--decode eager"
