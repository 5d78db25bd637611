"""What `run` does, with the clock and the meter faked where numbers must be exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from tests.checkpoints import save_checkpoint
from tests.methods.toys import First, Longer, registered
from tests.tiny_llava import PATCHES, make_llava, mixed_batch, one_prompt
from v2drop_cli import load
from v2drop_cli.bench import passes, rounds
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.comparison import compare, first_divergence, token_agreement
from v2drop_cli.bench.stages import time_stages
from v2drop_cli.bench.watch import Phase, Watch
from v2drop_cli.commands import run as answer
from v2drop_cli.generate.decoding import cache_bytes, new_cache
from v2drop_cli.generate.greedy import drop_idle_mask, greedy
from v2drop_cli.measure.clock import FakeClock
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.records import Answer, ArmResult, Memory, Stats, Timing
from v2drop_cli.records.reading import read_report
from v2drop_cli.records.verdicts import FEW_ROUNDS, UNCLEAR
from v2drop_cli.report.bench_view import build_view
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


def options(**changes):
    base = answer.RunOptions("what?", "small", ArmOptions(), 4, repeats=3, warmup=1)
    return replace(base, **changes)


# The loop ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch("left")], ids=["one", "padded"])
def test_greedy_is_what_generate_says(inputs):
    model = make_llava(6)
    wanted = model.generate(**inputs, do_sample=False, max_new_tokens=5, min_new_tokens=5)
    length = inputs["input_ids"].shape[1]
    tensors = drop_idle_mask(inputs)
    assert ("attention_mask" in tensors) == (not bool(inputs["attention_mask"].all()))
    got = torch.stack(list(greedy(model, tensors, DynamicCache(config=model.config), 5)), dim=1)
    free = torch.cat([wanted[:, length:]], dim=1)
    same = free == got
    # generate forbids the end token for fixed lengths; the loop does not. Rows agree up to it.
    for row_same, row in zip(same, got, strict=True):
        stop = (row == 2).nonzero()
        assert row_same[: int(stop[0]) if len(stop) else 5].all()


def test_a_release_that_nobody_tested_is_a_caveat_of_every_report(loaded, monkeypatch):
    def codes():
        report = answer.run(loaded, [load_image(CAT)], options(repeats=1, warmup=0))
        return {caveat.code for caveat in report.warnings}

    assert "transformers_untested" not in codes()
    monkeypatch.setattr("transformers.__version__", "9.1.0")
    assert "transformers_untested" in codes()


# Stages --------------------------------------------------------------------------------------


def test_stages_are_exact_under_a_fake_clock(loaded):
    inputs = passes.Subject(loaded, [load_image(CAT)], "what?").prepare()
    # start, tower begins and ends, projector begins and ends, decoder, first token, end
    clock = FakeClock([0.0, 0.25, 0.75, 1.0, 1.125, 2.0, 5.0, 9.0])
    times = time_stages(loaded, inputs, clock, 5)
    assert (times.vision_s, times.prefill_s) == (2.0, 3.0)
    assert (times.tower_s, times.projector_s, times.drop_s) == (0.5, 0.125, 0.0)
    assert times.decode_s_per_token == 1.0
    assert times.generate_s == 9.0
    assert times.time_to_first_token_s == pytest.approx(5.0 + times.preprocess_s)
    one = time_stages(loaded, inputs, FakeClock([0.0, *[0.5] * 4, 1.0, 2.0, 2.0]), 1)
    assert one.decode_s_per_token is None


def test_a_run_reports_rounds_and_is_exact_under_a_fake_clock(loaded, monkeypatch):
    ticks = iter(range(10**6))
    monkeypatch.setattr(rounds, "clock_for", lambda device: FakeClock(float(t) for t in ticks))
    drafts, told = [], []
    watch = Watch(told.append, drafts.append)
    report = answer.run(loaded, [load_image(CAT)], options(), watch)
    assert [len(r.arms[0].timing.prefill_s.samples) for r in drafts] == [1, 2]
    phases = [Phase.ANSWERS, Phase.MEMORY, Phase.WARM_UP, Phase.ROUNDS, Phase.INTERVALS]
    assert list(dict.fromkeys(progress.phase for progress in told)) == phases
    for arm in report.arms:
        # Three drops and the putting back: eight marks between decoder and first token.
        marks = 0 if arm.method is None else 8
        assert arm.timing.prefill_s.samples == (1.0 + marks,) * 3
        assert arm.timing.generate_s.median == 7.0 + marks
        assert (arm.timing.drop_s is None) == (arm.method is None)
    assert report.arms[1].timing.drop_s.samples == (4.0,) * 3
    assert report.comparisons[0].prefill_speedup.median == 1 / 9
    for handed_out in (*drafts, report):
        said = handed_out.comparisons[0].verdict("prefill_speedup")
        assert (said.verdict, said.reason) == (UNCLEAR, FEW_ROUNDS)


def test_a_run_has_the_whole_from_the_files_on(loaded):
    report = answer.run(loaded, [load_image(CAT)], options(repeats=2, warmup=0))
    [times] = [s for s in build_view(report).sections if s.title.startswith("Time")]
    rows = {row.label: [cell.text for cell in row.cells] for row in times.rows}
    assert "n/a" not in rows["end to end"]
    for arm in report.arms:
        media, whole = arm.timing.media_s.samples, arm.timing.end_to_end_s.samples
        assert len(media) == len(whole) == 2
        assert all(one < total for one, total in zip(media, whole, strict=True))


def test_an_interrupted_run_is_partial_and_keeps_the_complete_rounds(loaded, monkeypatch):
    timed, drafts, left = passes.Passes.time, [], [2 + 2 * 2 + 1]

    def interrupt(self, arm, clock, new_tokens):
        if not left[0]:  # a warm-up round, two rounds, one arm of the third
            raise KeyboardInterrupt
        left[0] -= 1
        return timed(self, arm, clock, new_tokens)

    monkeypatch.setattr(passes.Passes, "time", interrupt)
    watch = Watch(on_round=drafts.append)
    report = answer.run(loaded, [load_image(CAT)], options(repeats=9), watch)
    assert (report.stopped_by, report.partial, report.rounds) == ("interrupted", True, 2)
    assert report.protocol is None
    assert report.request.repeats == 9
    assert [(draft.stopped_by, draft.partial, draft.rounds) for draft in drafts] == [
        ("running", True, 1), ("running", True, 2),
    ]  # fmt: skip
    view = build_view(report)
    [said] = [fact.text for fact in view.footer if fact.label == "stopped"]
    assert said == "INTERRUPTED after 2 rounds: partial"


def test_a_run_that_ends_is_not_partial(loaded):
    report = answer.run(loaded, [load_image(CAT)], options())
    assert (report.stopped_by, report.partial, report.rounds) == ("rounds", False, 3)
    assert len(report.arms[1].timing.end_to_end_s.samples) == 3
    assert all(fact.label != "stopped" for fact in build_view(report).footer)


def test_answers_are_the_models_own_generate(loaded):
    report = answer.run(loaded, [load_image(CAT)], options(repeats=1, warmup=0))
    inputs = passes.Subject(loaded, [load_image(CAT)], "what?").prepare()
    length = inputs.tensors["input_ids"].shape[1]
    plain = loaded.model.generate(**inputs.tensors, do_sample=False, max_new_tokens=4)
    assert report.arms[0].answer.token_ids == tuple(plain[0, length:].tolist())
    vision = set(inputs.vision.index[0].tolist())
    for drop in report.arms[1].drops:
        assert set(drop.kept[0]) < vision


def test_kv_bytes_are_what_the_live_cache_holds(loaded):
    inputs = passes.Subject(loaded, [load_image(CAT)], "what?").prepare()
    cache = new_cache(loaded)
    list(greedy(loaded.model, drop_idle_mask(inputs.tensors), cache, 2))
    held = sum(k.nbytes + v.nbytes for k, v, _ in cache)
    assert cache_bytes(cache) == held
    assert cache_bytes(new_cache(loaded)) == 0


def test_weights_count_tied_tensors_once(loaded):
    model = loaded.model
    once = sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers())
    model.lm_head.weight, untied = model.get_input_embeddings().weight, model.lm_head.weight
    try:
        assert passes.weights_bytes(model) <= once
    finally:
        model.lm_head.weight = untied


# Comparisons ---------------------------------------------------------------------------------


def arm(label, tokens, prefill=(1.0, 1.0, 1.0), kv=100, peak=None):
    timing = Timing(prefill_s=Stats(prefill[0], tuple(prefill)))
    memory = Memory(kv_cache_bytes=kv, rss_peak_bytes=peak)
    return ArmResult(label, None, None, Answer("", tuple(tokens)), 9, 9.0, (), timing, memory)


def test_comparison_by_hand():
    found = compare(arm("dense", [1, 2, 3], (4.0, 6.0, 8.0)), arm("x", [1, 9], (2.0, 3.0, 4.0), 50))
    assert found.prefill_speedup.median == 2.0
    assert found.kv_cache_ratio == 2.0
    assert found.decode_speedup is None
    assert found.peak_memory_ratio is None
    assert not found.answers_identical
    assert found.first_divergence == 1
    assert found.token_agreement == pytest.approx(1 / 3)


def test_equal_answers():
    assert compare(arm("dense", [1]), arm("x", [1])).answers_identical
    assert first_divergence([1, 2], [1, 2]) is None
    assert token_agreement([], []) == 1.0


def test_a_methods_parameters_are_in_its_label_and_in_the_report(loaded, monkeypatch, tmp_path):
    registered(monkeypatch, First)
    methods = ("first:share=0.5,start=2", "first:start=2", "first", "v2drop")
    report = answer.run(loaded, [load_image(CAT)], options(arms=ArmOptions(methods=methods)))
    assert [arm.label for arm in report.arms] == ["dense", "first:start=2", "first", "v2drop"]
    dense, moved, plain, v2drop = report.arms
    assert (moved.method, plain.method) == ("first", "first")
    assert moved.parameters == {**plain.parameters, "start": 2}
    assert plain.parameters["loud"] is False
    assert dense.parameters == {}
    assert v2drop.parameters == {"positions": "original"}
    path = tmp_path / "report.json"
    path.write_text(report.dumps(), encoding="utf-8")
    assert read_report(path).arms[1].parameters == moved.parameters


def test_counts_that_a_method_chose_are_those_of_the_report(loaded, monkeypatch):
    registered(monkeypatch, Longer)
    arms = ArmOptions(ScheduleOptions(schedules=("2:0.5,4:1.0",)), ("longer", "v2drop"))
    report = answer.run(loaded, [load_image(CAT)], options(arms=arms))
    _, chosen, v2drop = report.arms
    first, second = chosen.drops
    assert 0 < second.after < first.after < PATCHES
    assert first.after != v2drop.drops[0].after
    layers = loaded.n_layers
    after = 2 * PATCHES + 2 * first.after + (layers - 4) * second.after
    assert chosen.layer_average_vision_tokens == pytest.approx(after / layers)
    [said] = [caveat for caveat in report.warnings if caveat.code == "counts_by_method"]
    assert said.message.startswith("longer ")


def test_the_work_of_a_method_that_chooses_is_counted_from_what_it_chose(loaded, monkeypatch):
    registered(monkeypatch, Longer)
    with Nvml(loaded.device) as nvml:
        subject = passes.Subject(loaded, [load_image(CAT)], "what?")
        found = passes.Passes(subject, nvml)
        kept_none = Arm("none", "longer:times=1e9", Schedule.parse("3:1.0"))
        dropped_all = Arm("all", "v2drop", Schedule.parse("3:0"))
        assert found.limit(kept_none) == found.limit(dropped_all)
        kept_all = Arm("every", "longer:times=0", Schedule.parse("3:0"))
        assert found.limit(kept_all) == found.limit(Arm("dense"))
        [stage] = found.answer(kept_all, 2).drops  # what its threshold let pass is told too
        assert stage.before == stage.after == PATCHES
