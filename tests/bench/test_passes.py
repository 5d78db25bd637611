"""What is measured of one arm on one prompt: each pass by itself, on a tiny model."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.checkpoints import save_checkpoint
from tests.methods.toys import Longer, registered
from tests.tiny_llava import PATCHES
from v2drop_cli import load
from v2drop_cli.bench import passes as module
from v2drop_cli.bench.arms import Arm, Budget
from v2drop_cli.bench.passes import Passes, Subject, timing_of
from v2drop_cli.bench.stages import StageTimes
from v2drop_cli.errors import UsageError
from v2drop_cli.generate.decoding import cache_bytes
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.measure.clock import CpuClock
from v2drop_cli.measure.footprint import weights_bytes
from v2drop_cli.measure.memory import FakeMemory
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.measure.work import DecoderShape
from v2drop_cli.media import load_image
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.records import Caveat, MediaRecord, Memory, Stats, Timing
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
LAYERS = 6
DENSE = Arm("dense")
DROPPED = Arm("first", "v2drop", Schedule.parse("1:0.5,3:0.25"))
CHOOSING = Arm("choosing", "longer:times=0", Schedule.parse("3:0.5"))
MADE_UP = SyntheticInput(((24, 24),), None, 7, seed=3)
CPU = "device_cpu"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = save_checkpoint(tmp_path_factory.mktemp("model"), LAYERS)
    return load(str(folder), device="cpu")


@pytest.fixture
def passes(loaded):
    return passes_of(loaded)


def passes_of(loaded, rows=1, **changes):
    subject = Subject(loaded, [load_image(CAT)], "what?", rows, **changes)
    return Passes(subject, Nvml(loaded.device))


def made_up(loaded, given=MADE_UP, rows=1):
    return Passes(Subject(loaded, (), given.prompt, rows, given), Nvml(loaded.device))


# The subject ---------------------------------------------------------------------------------


def test_a_subject_is_one_row_decoded_eagerly_unless_told(loaded):
    subject = Subject(loaded, [], "what?")
    assert (subject.batch_size, subject.synthetic, subject.decode) == (1, None, "eager")
    with pytest.raises(FrozenInstanceError):
        subject.prompt = "why?"


def test_rows_of_a_batch_are_the_same_prompt(loaded):
    one, three = (passes_of(loaded, rows).inputs.tensors for rows in (1, 3))
    for name, tensor in one.items():
        assert torch.equal(three[name], torch.cat([tensor] * 3))


def test_media_are_named_as_they_were_given_or_made_up(loaded):
    image = load_image(CAT)
    assert Subject(loaded, [image], "what?").records == (image.record,)
    wide = replace(MADE_UP, sizes=((40, 30), (20, 10)))
    assert Subject(loaded, [], "", 1, wide).records == (
        MediaRecord(None, "image", 40, 30, 1, synthetic=True),
        MediaRecord(None, "image", 20, 10, 1, synthetic=True),
    )
    film = replace(MADE_UP, frames=4)
    [video] = Subject(loaded, [], "", 1, film).records
    assert video == MediaRecord(None, "video", 24, 24, 4, synthetic=True)


def test_a_way_of_decoding_that_is_not_served_is_refused_at_once(loaded):
    with pytest.raises(UsageError, match="compiled"):
        passes_of(loaded, decode="compiled")


# Answers -------------------------------------------------------------------------------------


def generated(loaded, tensors, n):
    """Greedy, by transformers itself."""
    output = loaded.model.generate(**tensors, max_new_tokens=n, do_sample=False)
    return tuple(output[0, tensors["input_ids"].shape[1] :].tolist())


def test_a_dense_answer_is_the_models_own(passes, loaded):
    found = passes.answer(DENSE, 4)
    assert found.answer.token_ids == generated(loaded, passes.inputs.tensors, 4)
    assert found.answer.text == loaded.decode(found.answer.token_ids)
    assert (found.label, found.method, found.schedule) == ("dense", None, None)
    assert (found.vision_tokens, found.layer_average_vision_tokens) == (PATCHES, PATCHES)
    assert (found.drops, found.parameters) == ((), {})
    assert (found.timing, found.memory) == (Timing(), Memory())
    assert passes.vision_tokens == PATCHES


@pytest.mark.parametrize("rows", [1, 2])
def test_a_dropped_answer_tells_what_was_dropped_in_all_rows(loaded, rows):
    passes = passes_of(loaded, rows)
    found = passes.answer(DROPPED, 4)
    with dropping(loaded.model, DROPPED.schedule, method="v2drop") as trace:
        assert found.answer.token_ids == generated(loaded, passes.inputs.tensors, 4)
    assert [(drop.layer, drop.kept) for drop in found.drops] == [
        (event.layer, event.kept) for event in trace.events
    ]
    assert [(drop.before, drop.after) for drop in found.drops] == [
        (36 * rows, 18 * rows),
        (18 * rows, 4 * rows),
    ]
    assert (found.label, found.method, found.schedule) == ("first", "v2drop", "1:0.5,3:0.25")
    assert found.vision_tokens == 36 * rows
    assert found.layer_average_vision_tokens == (36 + 2 * 18 + 3 * 4) / 6 * rows
    assert passes.vision_tokens == 36


def test_the_answer_names_the_methods_parameters(loaded, monkeypatch):
    registered(monkeypatch, Longer)
    found = passes_of(loaded).answer(CHOOSING, 1)
    assert (found.method, found.parameters) == ("longer", {"times": 0.0, "positions": "original"})


def test_no_picture_is_no_vision_token(loaded):
    passes = Passes(Subject(loaded, [], "what?"), Nvml(loaded.device))
    assert passes.vision_tokens == 0
    assert passes.answer(DENSE, 1).vision_tokens == 0


def test_a_prompt_whose_tokens_nobody_placed_has_none(passes):
    passes.inputs = SimpleNamespace(vision=SimpleNamespace(counts=()))
    assert passes.vision_tokens == 0


# Counts --------------------------------------------------------------------------------------


def test_counts_of_a_schedule_are_known_without_running(passes, monkeypatch):
    monkeypatch.setattr(passes, "_generate", None)
    assert passes.plan(DENSE).counts == (36,) * 6
    assert passes.plan(DROPPED).counts == (36, 18, 18, 4, 4, 4)
    for half in (replace(DROPPED, method=None), replace(DROPPED, schedule=None)):
        assert passes.plan(half).counts == (36,) * 6


def test_counts_that_a_method_chooses_are_found_once(passes, monkeypatch):
    registered(monkeypatch, Longer)
    asked, generate = [], passes._generate
    monkeypatch.setattr(passes, "_generate", lambda arm, n: asked.append(n) or generate(arm, n))
    none = replace(CHOOSING, method="longer:times=1e9")
    for _ in range(2):
        assert passes.plan(CHOOSING).counts == (36,) * 6
        assert passes.plan(none).counts == (36,) * 3 + (0,) * 3
    assert asked == [1, 1]
    assert "counts_by_method" not in codes(passes)


def test_an_answer_finds_the_chosen_counts_too_and_the_reader_is_told(passes, monkeypatch):
    registered(monkeypatch, Longer)
    arm = replace(CHOOSING, method="longer:times=1e9")
    assert passes.answer(arm, 2).layer_average_vision_tokens == 18
    monkeypatch.setattr(passes, "_generate", None)
    assert passes.plan(arm).counts == (36,) * 3 + (0,) * 3
    assert codes(passes).count("counts_by_method") == 1


def test_a_prefill_finds_the_chosen_counts_and_those_only(passes, monkeypatch):
    registered(monkeypatch, Longer)
    for arm in (DENSE, DROPPED, CHOOSING):
        passes.prefill(arm)
    assert set(passes._chosen) == {CHOOSING}
    monkeypatch.setattr(passes, "_generate", None)
    assert passes.plan(CHOOSING).counts == (36,) * 6


@pytest.mark.parametrize("rows", [1, 2])
def test_the_least_work_is_of_text_and_vision_in_every_layer(loaded, monkeypatch, rows):
    passes, told = passes_of(loaded, rows), []
    monkeypatch.setattr(module, "limit", lambda *given: told.append(given) or "limit")
    monkeypatch.setattr(module, "memory_bandwidth", lambda device: (device, "fast"))
    assert passes.limit(DROPPED) == "limit"
    [(shape, columns, batch, bandwidth, answers)] = told
    text = passes.inputs.tensors["input_ids"].shape[1] - 36
    assert columns == [text + n for n in (36, 18, 18, 4, 4, 4)]
    assert (batch, bandwidth) == (rows, (loaded.device, "fast"))
    assert answers == 1
    assert isinstance(shape, DecoderShape)


def test_a_decoder_of_unknown_work_has_no_limit(passes, monkeypatch):
    monkeypatch.setattr(module, "decoder_shape", lambda *given: None)
    assert passes.limit(DENSE) is None


# Memory and energy ---------------------------------------------------------------------------


class Told:
    """A generation that only notes how it was asked; the arm's hooks must be there."""

    capture_s = 0.5

    def __init__(self, loaded, inputs, n, *recording):
        self.n, self.inputs, self.recording, self.asked = n, inputs, recording, []

    def tokens(self, tensors):
        self.asked.append(dict(tensors))
        for number in range(self.n):
            self.asked.append(number)
            yield number

    def kv_bytes(self):
        return 1000 * self.n


@pytest.fixture
def generations(monkeypatch):
    """All generations that are made, of either kind."""
    made = []

    def maker(kind):
        return lambda *given: made.append(type(kind, (Told,), {})(*given)) or made[-1]

    for kind in ("Eager", "Compiled"):
        monkeypatch.setattr(module, kind, maker(kind))
    monkeypatch.setattr(module, "check_decoding", lambda loaded, decode: None)
    monkeypatch.setattr(module, "new_graph", lambda device: ("graph", device))
    return made


def applications(monkeypatch):
    """Notes when an arm begins and ends to be applied, and with which mark."""
    told = []

    @contextmanager
    def applied(self, loaded, mark=None):
        told.append(("begins", self.label, mark))
        yield
        told.append(("ends", self.label, mark))

    monkeypatch.setattr(Arm, "applied", applied)
    return told


def test_memory_is_that_of_one_whole_generation(passes, generations, monkeypatch):
    told = applications(monkeypatch)
    passes.meter = FakeMemory([Memory(rss_peak_bytes=77)])
    weights = weights_bytes(passes.loaded.model)
    assert passes.memory(DROPPED, 3) == Memory(weights, 3000, rss_peak_bytes=77)
    [generation] = generations
    assert generation.asked[1:] == [0, 1, 2]
    # Nothing is padded, so no mask is passed: layers then choose the kernel that they would.
    assert set(generation.asked[0]) == set(passes.inputs.tensors) - {"attention_mask"}
    assert passes.meter.starts == 1
    assert told == [("begins", "first", None), ("ends", "first", None)]


def test_a_shortened_cache_takes_less_memory(passes):
    dense, dropped = (passes.memory(arm, 2).kv_cache_bytes for arm in (DENSE, DROPPED))
    text = passes.inputs.tensors["input_ids"].shape[1] - 36
    held = [text + 1 + vision for vision in (36, 18, 18, 4, 4, 4)]  # 1: the first new token
    assert dropped / dense == sum(held) / (6 * (text + 1 + 36))


def test_energy_is_of_whole_generations_that_the_device_was_waited_for(
    passes, generations, monkeypatch
):
    told, waits = applications(monkeypatch), []

    def energy_of(request, nvml, wait):
        assert told == [("begins", "first", None)]
        request()
        wait()
        assert nvml is passes.nvml
        return 2.5

    monkeypatch.setattr(module, "energy_of", energy_of)
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    assert passes.energy(DROPPED, 2) == 2.5
    [generation] = generations
    assert generation.asked[1:] == [0, 1]
    assert "attention_mask" not in generation.asked[0]
    assert waits == [passes.loaded.device]


# Time ----------------------------------------------------------------------------------------

TIMES = StageTimes(0.25, 1.0, 2.0, None, 3.0, 3.0, transfer_s=0.25, drop_s=0.125)


@pytest.fixture
def staged(monkeypatch):
    """Trials that take what `TIMES` says, of a processor that takes 4 s; how they were asked."""
    asked, now = [], iter(range(0, 400, 4))
    monkeypatch.setattr(module, "time_stages", lambda *given: asked.append(given) or TIMES)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    return asked


def test_a_trial_is_processor_transfer_and_stages(passes, staged, monkeypatch):
    told, clock = applications(monkeypatch), CpuClock()
    found = passes.time(DROPPED, clock, 3)
    assert found == replace(TIMES, preprocess_s=4.25, processor_s=4)
    [(loaded, inputs, its_clock, n, generation)] = staged
    assert (loaded, its_clock, n) == (passes.loaded, clock, 3)
    assert inputs is not passes.inputs
    assert torch.equal(inputs.tensors["input_ids"], passes.inputs.tensors["input_ids"])
    assert generation is not None
    assert told == [("begins", "first", clock.mark), ("ends", "first", clock.mark)]


def test_a_dense_trial_has_no_time_for_dropping(passes, staged):
    assert passes.time(DENSE, CpuClock(), 1).drop_s is None


def test_what_is_made_up_has_no_processor_to_time(loaded, staged, monkeypatch):
    passes = made_up(loaded)
    found = passes.time(DROPPED, CpuClock(), 1)
    assert found == replace(TIMES, preprocess_s=None)
    assert staged[0][1] is passes.inputs


def test_a_transfer_that_was_not_timed_leaves_the_stage_unknown(passes, staged, monkeypatch):
    untimed = replace(TIMES, preprocess_s=None)
    monkeypatch.setattr(module, "time_stages", lambda *given: untimed)
    assert passes.time(DROPPED, CpuClock(), 1) == untimed


# Recordings ----------------------------------------------------------------------------------


def test_an_eager_generation_is_made_for_every_trial(passes, generations, staged):
    for _ in range(2):
        passes.time(DENSE, CpuClock(), 3)
    assert [(type(made).__name__, made.n) for made in generations] == [("Eager", 3)] * 2
    assert [given[4] for given in staged] == generations
    assert passes.capture_s(DENSE) is None


def test_a_recording_is_made_once_for_each_arm_and_length(loaded, generations, staged, monkeypatch):
    passes, begun = passes_of(loaded, decode="compiled"), applications(monkeypatch)
    null = replace(DENSE)
    for arm, n in [(DENSE, 3), (null, 3), (DENSE, 3), (DENSE, 4), (null, 3), (null, 2)]:
        passes.time(arm, CpuClock(), n)
    assert [(type(made).__name__, made.n) for made in generations] == [
        ("Compiled", 3), ("Compiled", 3), ("Compiled", 4), ("Compiled", 2),
    ]  # fmt: skip
    dense, second, longer, shorter = generations
    assert [given[4] for given in staged] == [dense, second, dense, longer, second, shorter]
    second.capture_s = 0.75
    assert (passes.capture_s(DENSE), passes.capture_s(null)) == (0.5, 0.75)
    assert passes.capture_s(DROPPED) is None
    graph, applied = dense.recording
    assert (graph, dense.inputs) == (("graph", loaded.device), passes.inputs)
    begun.clear()
    with applied():
        assert begun == [("begins", "dense", None)]


def test_a_memory_pass_has_a_recording_of_its_own(loaded, generations, staged):
    passes = passes_of(loaded, decode="compiled")
    passes.memory(DENSE, 3)
    passes.time(DENSE, CpuClock(), 3)
    assert len(generations) == 2


# Caveats and what is described ---------------------------------------------------------------


def codes(passes):
    return [caveat.code for caveat in passes.caveats()]


def told(code):
    return Caveat(code, f"of {code}")


def test_whoever_knows_something_is_heard_once_and_in_order(loaded):
    image = replace(load_image(CAT), caveats=(told("image"), told("twice")))
    loaded = replace(loaded, caveats=(told("model"), told("twice")))
    passes = Passes(Subject(loaded, [image], "what?"), Nvml(loaded.device))
    passes.inputs = replace(passes.inputs, caveats=(told("prompt"),))
    passes.meter = SimpleNamespace(caveats=(told("meter"), told("model")))
    assert codes(passes) == ["image", "twice", "model", "prompt", CPU, "meter"]


def test_a_method_and_whoever_lines_arms_up_may_add_a_word(passes, monkeypatch):
    class Warns(Longer):
        def caveats(self):
            return (told("method"),)

    monkeypatch.setattr(module, "get_method", lambda text: Warns())
    passes.note(told("line-up"), told("more"))
    passes.answer(DROPPED, 1)
    assert codes(passes) == [
        "line-up",
        "more",
        "method",
        "counts_by_method",
        "counts_ignored",
        CPU,
    ]


def test_a_plain_measurement_on_a_cpu_says_just_that(passes):
    passes.answer(DENSE, 1)
    assert codes(passes) == [CPU]


def test_nvml_is_heard_on_a_gpu(passes):
    passes.loaded = replace(passes.loaded, device=torch.device("cuda"))
    passes.nvml = SimpleNamespace(caveats=(told("nvml"),))
    assert codes(passes) == ["nvml"]


def test_dummy_weights_and_what_is_made_up_are_said(loaded):
    assert codes(made_up(replace(loaded, weights="dummy"))) == [
        "dummy_weights", "synthetic_input", CPU,
    ]  # fmt: skip


def test_a_transformers_that_nobody_tried_is_said(passes, monkeypatch):
    monkeypatch.setattr(module, "transformers", SimpleNamespace(__version__="9.9.0"))
    assert codes(passes) == ["transformers_untested", CPU]


@pytest.mark.parametrize("longest", ["answer", "memory"])
def test_the_longest_generation_says_whether_the_context_is_left(passes, generations, longest):
    passes.meter = FakeMemory([Memory()] * 3)
    limit = passes.loaded.model.config.get_text_config().max_position_embeddings
    length = passes.inputs.tensors["input_ids"].shape[1]
    passes._generate = lambda arm, n: ((5,), ())
    measure = getattr(passes, longest)
    measure(DENSE, limit - length)
    assert codes(passes) == [CPU]
    measure(DENSE, limit - length + 1)
    measure(DENSE, 2)
    [said] = [c for c in passes.caveats() if c.code == "beyond_context"]
    assert f"{limit - length + 1:,} new ones" in said.message


def test_what_the_subject_says_of_a_request(loaded):
    found = passes_of(replace(loaded, revision="abc"), 2).described()
    spans = found.pop("spans")
    assert found == {
        "resolved_id": loaded.source,
        "revision": "abc",
        "weights": "trained",
        "media": (load_image(CAT).record,),
        "prompt": "what?",
        "attn_implementation": "sdpa",
        "dtype": "float32",
        "device": "cpu",
        "batch_size": 2,
        "decode": "eager",
        "fake_quant": "none",
    }
    [span] = spans
    assert (span.media, sum(count for _, count in span.runs)) == (0, PATCHES)


# Sums of trials, bytes of weights ------------------------------------------------------------


def test_every_stage_of_all_trials_is_summarised():
    trials = [replace(TIMES, prefill_s=s) for s in (4.0, 1.0, 2.0, 3.0, 5.0)]
    found = timing_of(trials)
    assert found.prefill_s.samples == (4.0, 1.0, 2.0, 3.0, 5.0)
    assert found.prefill_s.median == 3.0
    assert found.prefill_s.ci95 is not None
    assert found.time_to_first_token_s.samples[0] == 0.25 + 1.0 + 4.0
    assert (found.decode_s_per_token, found.media_s) == (None, None)
    last = timing_of(trials, lambda values: Stats([*values][-1] or 0.0, ()))
    assert (last.prefill_s, last.vision_s) == (Stats(5.0, ()), Stats(1.0, ()))


def test_weights_that_are_shared_count_once_and_buffers_too():
    first, second = torch.nn.Linear(3, 5, bias=False), torch.nn.Linear(3, 5, bias=False)
    second.weight = first.weight
    model = torch.nn.Sequential(first, second, torch.nn.Linear(2, 1).half())
    model.register_buffer("table", torch.zeros(7, dtype=torch.int64))
    assert weights_bytes(model) == 4 * 15 + 2 * 3 + 8 * 7


def test_bytes_of_a_cache_are_those_that_the_pass_tells(passes):
    generation = passes._generation(DENSE, 2)
    list(generation.tokens(passes.inputs.tensors))
    assert passes.memory(DENSE, 2).kv_cache_bytes == cache_bytes(generation._cache)


def test_a_count_of_more_tokens_than_there_are_is_said_with_the_answer(passes):
    n = passes.vision_tokens
    passes.answer(Arm("fastv 2:999t", "fastv", Schedule.parse("2:999t")), 1)
    [said] = [caveat for caveat in passes.caveats() if caveat.code == "counts_beyond"]
    assert f"999 vision tokens, and only {n}" in said.message
    result = passes.answer(Arm("dense"), 1)
    assert (result.budget, result.solved) == (None, ())


def test_a_result_says_what_was_asked_for_and_what_was_found_for_it(passes):
    budget = Budget(8.0, name="8")
    arm = Arm("x", "sparsevlm", Schedule.parse("2:8t"), budget=budget, solved=("schedule",))
    result = passes.answer(arm, 1)
    assert (result.budget, result.solved) == ("8", ("schedule",))
