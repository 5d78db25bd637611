"""What fits, on a small model: the search against brute force, by prediction and by trying."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.checkpoints import save_config
from v2drop_cli import load
from v2drop_cli.bench import capacity as capacity_module
from v2drop_cli.bench.arms import Arm, ArmOptions, Budget, ScheduleOptions
from v2drop_cli.bench.capacity import Room, Search, limited
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.sizes import Growing, Shown, Sizes
from v2drop_cli.measure import footprint as module
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.tiles import noise, shapes_only
from v2drop_cli.records import Memory, Stats
from v2drop_cli.records.curves import BATCH_SIZE, BY_PREDICTION, BY_TRYING, FRAMES, MEASURED, Point
from v2drop_cli.schedule import Schedule

MOST = 40
DENSE = Arm("dense")
DROPPED = Arm("v2drop 1:0.25", "v2drop", Schedule.parse("1:0.25"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    config = save_config(tmp_path_factory.mktemp("config") / "model") / "config.json"
    made_up = SyntheticInput(frames=2, text_tokens=5)
    return load(str(config), device="cpu", weights="dummy", synthetic=made_up)


def frames(size):
    return Shown((), SyntheticInput(frames=size, text_tokens=5))


def rows(size):
    return Shown((), SyntheticInput(text_tokens=5), size)


@pytest.fixture
def sizes(loaded):
    arms = ArmOptions(ScheduleOptions(schedules=("1:0.25",)))
    return Sizes(loaded, Growing(FRAMES, (2, 3), frames, MOST), "", arms, 2)


def search(sizes, limit, **changes):
    room = replace(Room(sizes.loaded.device, limit, True, predicts=True), **changes)
    return Search(sizes, Nvml(sizes.loaded.device), room, 60.0)


@pytest.mark.parametrize("arm", [DENSE, DROPPED], ids=lambda arm: arm.label)
@pytest.mark.parametrize("at", [0, 1, 7, 39, 40])
def test_the_prediction_is_searched_as_brute_force_would(sizes, arm, at):
    """The limit is just what ``at`` frames are predicted to need."""
    limit = sizes.predicted(arm, at).total if at else 1
    found = search(sizes, limit).capacity(arm, ())
    needed = {size: sizes.predicted(arm, size).total for size in range(1, MOST + 1)}
    fitting = [size for size, total in needed.items() if total <= limit]
    assert found.by == BY_PREDICTION
    assert found.size == found.predicted_size == max(fitting, default=None) == (at or None)
    assert found.bytes == (needed[at] if at else None)
    assert found.next_size == (None if at == MOST else at + 1)
    assert found.measured_bytes is None
    assert found.unchecked == ("no smaller size was timed" if at else None)


def test_dropping_fits_more_where_the_cache_is_what_fills_the_memory(sizes):
    limit = sizes.predicted(DENSE, 30).total
    assert search(sizes, limit).capacity(DROPPED, ()).size > 30


def test_what_fits_is_run_to_check_it_unless_that_takes_too_long(sizes):
    limit = sizes.predicted(DENSE, 6).total
    row = sizes.row(2)
    done = Point(2, MEASURED, None, 1, row.length, row.vision_tokens, wall_s=Stats(0.01, (0.01,)))
    found = search(sizes, limit).capacity(DENSE, [done])
    assert (found.size, found.unchecked) == (6, None)
    assert found.measured_bytes > limit  # a whole Python process, which was not said to be there
    slow = replace(done, wall_s=Stats(30.0, (30.0,)))
    found = search(sizes, limit).capacity(DENSE, [slow])
    assert found.measured_bytes is None
    assert "--max-time" in found.unchecked
    known = replace(done, size=6, memory=Memory(rss_peak_bytes=77))
    assert search(sizes, limit).capacity(DENSE, [known]).measured_bytes == 77


@pytest.mark.parametrize("holds", [0, 1, 5, 40])
def test_trying_agrees_with_brute_force(sizes, monkeypatch, holds):
    """As on a GPU, where an arm runs until there is no room."""
    tried = []

    def memory(self, arm, new_tokens):
        size = self.vision_tokens // 36
        tried.append(size)
        if size > holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return Memory(peak_allocated_bytes=1000 + size)

    monkeypatch.setattr(Passes, "memory", memory)
    found = search(sizes, 10**9, predicts=False).capacity(DENSE, ())
    assert found.by == BY_TRYING
    assert found.size == (holds or None)
    assert found.bytes == found.measured_bytes == (1000 + holds if holds else None)
    assert found.next_size == (None if holds == MOST else holds + 1)
    assert found.predicted_size == MOST
    assert len(tried) == len(set(tried)) < 14


def test_sizes_that_were_measured_are_not_tried_again(sizes, monkeypatch):
    def memory(self, arm, new_tokens):
        assert self.vision_tokens // 36 != 3
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(Passes, "memory", memory)
    done = Point(3, MEASURED, None, 1, 113, 108, memory=Memory(peak_allocated_bytes=5))
    found = search(sizes, 10**9, predicts=False).capacity(DENSE, [done])
    assert (found.size, found.bytes, found.next_size) == (3, 5, 4)


def test_a_batch_is_predicted_without_making_it(loaded):
    arms = ArmOptions(ScheduleOptions(schedules=("1:0.25",)))
    batches = Sizes(loaded, Growing(BATCH_SIZE, (1, 2), rows, 2**20), "", arms, 2)
    one, many = (batches.predicted(DENSE, size) for size in (1, 1000))
    assert many.kv_cache_bytes == 1000 * one.kv_cache_bytes
    assert many.activation_bytes == 1000 * one.activation_bytes
    assert many.weights_bytes == one.weights_bytes
    assert len(batches._rows) == 1


def test_shapes_take_no_memory_and_are_the_real_ones(sizes):
    with shapes_only():
        assert noise(3, 1000, 1000).untyped_storage().nbytes() == 4
    real = sizes.subject(3).prepare()
    row = sizes.row(3)
    assert {k: v.shape for k, v in row.tensors.items()} == {
        k: v.shape for k, v in real.tensors.items()
    }
    assert noise(2, 2).untyped_storage().nbytes() == 16


def test_the_cache_and_the_weights_that_are_predicted_are_the_real_ones(sizes):
    """One number for each is checked against a generation's own."""
    for arm in (DENSE, DROPPED):
        passes = Passes(sizes.subject(3), Nvml(sizes.loaded.device))
        held = passes.memory(arm, sizes.new_tokens)
        needed = sizes.predicted(arm, 3)
        assert needed.weights_bytes == held.weights_bytes
        # The last token is never put into the cache: nothing comes after it.
        per_token = sizes.predicted(DENSE, 3).kv_cache_bytes // (sizes.row(3).length + 2)
        assert needed.kv_cache_bytes - held.kv_cache_bytes == per_token


def test_what_activations_are_predicted_of(loaded, sizes):
    """The tower of 2 layers keeps every layer's features; all numbers are float32."""
    row, config = sizes.row(3), loaded.model.config
    pixels = row.tensors["pixel_values"].numel()
    given = sum(t.numel() * t.element_size() for t in row.tensors.values())
    vision, text = config.vision_config, config.text_config
    patches = pixels // (3 * vision.patch_size**2)
    kept = vision.num_hidden_layers + 1
    tower = patches * ((3 + kept) * vision.hidden_size + 3 * vision.intermediate_size)
    decoder = row.length * (3 * text.hidden_size + 3 * text.intermediate_size) + text.vocab_size
    found = sizes.predicted(DENSE, 3)
    peak = max(decoder, tower - found.kv_cache_bytes // 4)
    assert found.activation_bytes == given + 4 * peak
    assert found.total == found.weights_bytes + found.kv_cache_bytes + found.activation_bytes
    assert sizes.predicted(DENSE, 3, process_bytes=7).total == found.total + 7


def test_what_has_no_room_now_is_not_run(sizes, monkeypatch):
    """The system would end the process, and with it all that was measured."""
    monkeypatch.setattr(capacity_module, "free_memory", lambda device: 10)
    needed = sizes.predicted(DENSE, 6)
    room = Room(sizes.loaded.device, needed.total, True, predicts=True)
    assert "more, and 10 B are free" in room.refusal(needed)
    assert replace(room, predicts=False).refusal(needed) is None
    assert "of " in replace(room, limit_bytes=5).refusal(needed)
    found = search(sizes, needed.total).capacity(DENSE, ())
    assert (found.size, found.measured_bytes) == (6, None)
    assert "are free" in found.unchecked
    monkeypatch.setattr(capacity_module, "free_memory", lambda device: None)
    assert room.refusal(needed) is None


def test_thresholds_found_for_a_budget_stay(sizes):
    found = Arm("x", "sparsevlm", Schedule.parse("1:0.5"), budget=Budget(9.0, name="9"))
    assert sizes.arm(found, 3) is found
    assert sizes.arm(DENSE, 3) is DENSE
    assert sizes.arm(DROPPED, 3) == DROPPED


def test_a_decoder_that_is_not_known_has_no_prediction(sizes, monkeypatch):
    monkeypatch.setattr(module, "decoder_shape", lambda *parts: None)
    assert sizes.predicted(DENSE, 3) is None
    assert search(sizes, 10**9).capacity(DENSE, ()) is None


def test_a_method_that_chooses_its_counts_has_none_either(sizes):
    assert sizes.predicted(Arm("sparsevlm", "sparsevlm", Schedule.parse("1:0.5")), 3) is None


def test_the_process_itself_is_looked_at_once(sizes):
    with limited(sizes.loaded.device, 10**12) as room:
        assert (room.limit_bytes, room.asked, room.predicts) == (10**12, True, True)
        assert (room.unknown, room.process_bytes) == (True, 0)
        room.look(sizes.loaded.model)
        assert room.process_bytes > 10**7
        assert not room.unknown
    with limited(sizes.loaded.device, None) as room:
        assert room.limit_bytes > 0
        assert not room.asked


def test_a_gpu_is_held_to_the_limit_and_let_go(monkeypatch):
    told = []
    monkeypatch.setattr("v2drop_cli.bench.capacity.total_memory", lambda device: 1000)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: told.append(share)
    )
    with limited(torch.device("cuda"), 250) as room:
        assert (room.limit_bytes, room.predicts, told) == (250, False, [0.25])
        assert not room.unknown
    assert told == [0.25, 1.0]
    with limited(torch.device("cuda"), None) as room:
        assert room.limit_bytes == 1000
    assert told == [0.25, 1.0]
