"""What dropping costs in memory: counted by watching every tensor that is made."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import DynamicCache

import v2drop_cli as v2drop
from tests.families import CASES
from tests.graphs import HOST_READS, UPLOADS, HostMethods
from tests.release import CACHE
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.generate.greedy import drop_idle_mask
from v2drop_cli.instrument import verdict
from v2drop_cli.instrument.context import DropState
from v2drop_cli.instrument.here import Reader
from v2drop_cli.instrument.layer_call import LayerCall
from v2drop_cli.instrument.signals import RowSignals
from v2drop_cli.methods import base
from v2drop_cli.methods.base import DropContext
from v2drop_cli.methods.registry import get_method
from v2drop_cli.models.families.llava import LLAVA as FAMILY
from v2drop_cli.prove.cases.case import schedule_text
from v2drop_cli.schedule import Schedule

LLAVA = make_llava()
CALL = LayerCall.of(LLAVA.config, LLAVA.model.language_model.layers)
COLUMNS, SIZE, VISION, KEPT = 300, 64, 256, 64


class Allocations(TorchDispatchMode):
    """The sizes in bytes of all storages that operations make, views and in-place left out."""

    def __init__(self):
        super().__init__()
        self.made: dict[int, int] = {}
        self.alive: list[torch.Tensor] = []  # so that no address is used twice

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {
            t.untyped_storage().data_ptr()
            for t in torch.utils._pytree.tree_leaves((args, kwargs))
            if isinstance(t, torch.Tensor)
        }
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in given:
                    self.made.setdefault(storage.data_ptr(), storage.nbytes())
                    self.alive.append(tensor)
        return out

    def large(self, least):
        return [size for size in self.made.values() if size >= least]


def reader():
    """A reader of its own for each context, for methods that look at hidden states alone."""
    return Reader(CALL, frozenset(), FAMILY, None, ())


def hidden(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, COLUMNS, SIZE, generator=generator).to(dtype)


def scored(name, dtype):
    alive = torch.arange(20, 20 + VISION)
    signals = RowSignals(hidden(1, dtype)[0], hidden(2, dtype)[0], alive)
    ctx = DropContext(3, KEPT, alive, 0, signals)
    with Allocations() as seen:
        get_method(name).select(ctx)
    return seen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["v2drop", "v2drop-l1", "v2drop-cosine"])
def test_scoring_makes_one_temporary_of_full_hidden_size(name, dtype):
    assert scored(name, dtype).large(VISION * SIZE) == [4 * COLUMNS * SIZE]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_mean_over_the_tokens_takes_their_rows_out_first(dtype):
    """Three of the vision tokens' size: both states, and their difference in float32."""
    made = scored("v2drop-centred", dtype).large(VISION * SIZE)
    both = [VISION * SIZE * torch.finfo(dtype).bits // 8] * 2
    assert sorted(made) == sorted([*both, 4 * VISION * SIZE])


@pytest.mark.parametrize("name", ["random", "uniform"])
def test_baselines_make_none(name):
    assert scored(name, torch.float32).large(VISION * SIZE) == []


def test_a_drop_makes_the_shortened_states_and_one_temporary():
    state = DropState(Schedule.parse("2:0.25"), get_method("v2drop"), reader(), 0)
    state.begin((torch.arange(20, 20 + VISION),), None, COLUMNS)
    before, now = hidden(1, torch.float32), hidden(2, torch.float32)
    assert state.enter_layer(1, before, {}) is None
    rope = (torch.zeros(1, COLUMNS, 8), torch.zeros(1, COLUMNS, 8))
    with Allocations() as seen:
        short, _ = state.enter_layer(2, now, {"position_embeddings": rope, CACHE: None})
    left = COLUMNS - VISION + KEPT
    assert short.shape == (1, left, SIZE)
    assert sorted(seen.large(4 * left * SIZE)) == [4 * left * SIZE, 4 * COLUMNS * SIZE]


class Operations(TorchDispatchMode):
    """Everything that would be launched."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("padded", [False, True])
def test_layers_between_drops_launch_nothing(padded):
    """On a GPU a few small kernels in each of thirty layers would add up."""
    state = DropState(Schedule.parse("2:0.25"), get_method("v2drop"), reader(), 0)
    mask = torch.ones(1, COLUMNS, dtype=torch.long)
    mask[:, :5] = 0
    state.begin((torch.arange(20, 20 + VISION),), mask if padded else None, COLUMNS)
    rope = {"position_embeddings": (torch.zeros(1, COLUMNS, 8), torch.zeros(1, COLUMNS, 8))}
    cache = DynamicCache(config=LLAVA.config)
    state.enter_layer(1, hidden(1, torch.float32), rope | {CACHE: cache})
    short, _ = state.enter_layer(2, hidden(2, torch.float32), rope | {CACHE: cache})
    for layer in (3, 4):
        with Operations() as seen:
            changed = state.enter_layer(layer, short, rope | {CACHE: cache})
        assert changed[1]["position_embeddings"][0].shape[1] == short.shape[1]
        assert seen.found == []


def test_states_are_held_only_at_the_layer_before_a_drop():
    state = DropState(Schedule.parse("2:0.5,4:0.5"), get_method("v2drop"), reader(), 0)
    state.begin((torch.arange(20, 20 + VISION),), None, COLUMNS)
    rope = (torch.zeros(1, COLUMNS, 8), torch.zeros(1, COLUMNS, 8))
    states, held = hidden(1, torch.float32), []
    for layer in range(1, 6):
        changed = state.enter_layer(layer, states, {"position_embeddings": rope, CACHE: None})
        states = states if changed is None else changed[0]
        held.append(state.forward.previous is not None)
    assert held == [True, False, True, False, False]
    random = DropState(Schedule.parse("2:0.5"), get_method("random"), reader(), 0)
    random.begin((torch.arange(20, 20 + VISION),), None, COLUMNS)
    random.enter_layer(1, states, {})
    assert random.forward.previous is None


class Reads(TorchDispatchMode):
    """Operations and methods that wait for a device, because the host wants to know."""

    def __init__(self):
        super().__init__()
        self.methods = HostMethods()
        self.operations: list[str] = []

    def __enter__(self):
        self.methods.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.methods.__exit__(*error)

    @property
    def found(self):
        return [*self.operations, *self.methods.found]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is torch.ops.aten.index.Tensor and any(
            place is not None and place.dtype == torch.bool for place in args[1]
        )
        if func in HOST_READS | UPLOADS or by_mask:
            self.operations.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "read",
    [
        lambda tensor: tensor.tolist(),
        lambda tensor: tensor.cpu(),
        lambda tensor: tensor.numpy(),
        lambda tensor: np.asarray(tensor),
        lambda tensor: int(tensor[0]),
        lambda tensor: bool(tensor[0]),
        lambda tensor: tensor.nonzero(),
        lambda tensor: tensor[tensor > 0],
        lambda tensor: tensor.__setitem__(torch.arange(1), 0),
    ],
)
def test_every_way_of_waiting_is_seen(read):
    with Reads() as reads:
        read(torch.arange(3))
    assert reads.found


def reads_between_first_and_last(layers, forward):
    """What is read back while ``forward`` is between its first decoder layer and its last."""
    reads = Reads()
    first = layers[0].register_forward_pre_hook(lambda *_: reads.__enter__() and None, prepend=True)
    last = layers[-1].register_forward_hook(lambda *_: reads.__exit__(None, None, None))
    forward()
    first.remove()
    last.remove()
    return reads.found


# Models that read back by themselves: DeepStack adds the tower's states where a mask says, and some
# experts are asked for their tokens, and an index goes through queries one by one, of which a drop
# leaves fewer, or looks which of its pools are full. Dropping may add nothing to it.
ADDED = ("granite4_vision", "qwen3_omni_moe", "qwen4_exp")
READING = (
    *("granite4_vision", "granite_docling", "cohere_compass", "step3p7", "qwen3_omni_moe"),
    *("qwen4_exp", "glm5_next"),
)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_read_back_between_the_first_layer_and_the_last(monkeypatch, name):
    """Scores and verdicts are looked at on a CPU only, where looking is free."""
    monkeypatch.setattr(verdict, "_different", lambda index, n: True)
    monkeypatch.setattr(base, "_nan_among", lambda scores: 0)
    case = CASES[name]
    model = case.make("sdpa")
    inputs, _ = case.batch(case.prompts("image"))
    inputs, layers = drop_idle_mask(inputs), case.layers(model)
    with torch.no_grad():
        dense = reads_between_first_and_last(layers, lambda: model(**inputs))
        reads = [found for found in dense if found != "aten.lift_fresh.default"]
        own = name in READING or case.family.startswith("qwen3_vl")
        assert bool(reads) == own
        with v2drop.dropping(model, case.schedule) as trace:
            found = reads_between_first_and_last(layers, lambda: model(**inputs))
        # Features that this package adds to the survivors itself are read back by nobody.
        assert not Counter(found) - Counter(dense)
        assert found == dense or name in ADDED
        assert len(trace.events) == len(case.drops)
        if case.entry:
            with v2drop.dropping(model, schedule_text(case.entry), method="uniform") as trace:
                found = reads_between_first_and_last(layers, lambda: model(**inputs))
            assert not Counter(found) - Counter(dense)
            assert found == dense or name in ADDED
            assert len(trace.events) == len(case.entry)


@pytest.mark.parametrize("method", ["fastv", "pyramiddrop", "dart", "vtw"])
def test_rivals_read_nothing_back_either(monkeypatch, method):
    """Not even where the text after a picture is looked at."""
    monkeypatch.setattr(verdict, "_different", lambda index, n: True)
    monkeypatch.setattr(base, "_nan_among", lambda scores: 0)
    model, inputs = make_llava(6), drop_idle_mask(one_prompt(images=2))
    layers = model.model.language_model.layers
    schedule = "2:0" if method == "vtw" else "2:0.5,4:0.5"
    with torch.no_grad():
        dense = reads_between_first_and_last(layers, lambda: model(**inputs))
        with v2drop.dropping(model, schedule, method=method) as trace:
            assert reads_between_first_and_last(layers, lambda: model(**inputs)) == dense
    assert trace.events


def added_reads(model, method, schedule):
    """How often which reads are added to a dense forward by dropping, beside checks on a CPU."""
    inputs = drop_idle_mask(one_prompt(images=2))
    layers = model.model.language_model.layers
    with torch.no_grad():
        dense = reads_between_first_and_last(layers, lambda: model(**inputs))
        with v2drop.dropping(model, schedule, method=method) as trace:
            found = reads_between_first_and_last(layers, lambda: model(**inputs))
    assert trace.events
    # Sources are checked where tensors are on the CPU.
    checks = Counter(
        {"aten._local_scalar_dense.default": sum(bool(e.merges) for e in trace.events)}
    )
    return Counter(found) - Counter(dense) - checks


def test_sparsevlm_reads_back_once_a_prompt_to_find_its_raters(monkeypatch):
    monkeypatch.setattr(verdict, "_different", lambda index, n: True)
    added = added_reads(make_llava(6), "sparsevlm", "2:0.5,3:0.5,4:0.5")
    assert added == {"aten.index.Tensor": 1}


def test_mustdrop_reads_back_once_a_drop_to_count(monkeypatch):
    monkeypatch.setattr(verdict, "_different", lambda index, n: True)
    model, method = make_llava(6, tower=3), "mustdrop:g=0.02,q=1,window=2"
    more = added_reads(model, method, "2:1,3:1,4:1") - added_reads(model, method, "2:1")
    assert more == {"aten.nonzero.default": 2}
