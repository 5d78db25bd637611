"""What fits, on a small model: the search against brute force, by prediction and by trying."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import pytest
import torch

from tests.bench.growing import DENSE, DROPPED, MOST, batches, clips, frames, small
from v2drop_cli.bench import capacity as capacity_module
from v2drop_cli.bench.capacity import Room, Search, limited
from v2drop_cli.bench.passes import Passes
from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.measure import footprint as module
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.methods.registry import get_method
from v2drop_cli.records import Memory, Stats
from v2drop_cli.records.curves import BY_PREDICTION, BY_TRYING, MEASURED, Footprint, Point

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sizes():
    return clips()


@pytest.fixture(scope="module")
def needed(sizes):
    """What each arm is predicted to need at every size."""
    return {
        arm: {size: sizes.predicted(arm, size).total for size in range(1, MOST + 1)}
        for arm in (DENSE, DROPPED)
    }


def search(sizes, limit, **changes):
    room = replace(Room(sizes.loaded.device, limit, True, predicts=True), **changes)
    return Search(sizes, Nvml(sizes.loaded.device), room, 60.0)


@pytest.mark.parametrize("arm", [DENSE, DROPPED], ids=lambda arm: arm.label)
@pytest.mark.parametrize("at", [0, 1, 7, 39, 40])
def test_the_prediction_is_searched_as_brute_force_would(sizes, needed, arm, at):
    """The limit is just what ``at`` frames are predicted to need."""
    wanted = needed[arm]
    limit = wanted[at] if at else 1
    found = search(sizes, limit).capacity(arm, ())
    fitting = [size for size, total in wanted.items() if total <= limit]
    assert (found.by, found.limit_bytes, found.most) == (BY_PREDICTION, limit, MOST)
    assert found.size == found.predicted_size == max(fitting, default=None) == (at or None)
    assert found.bytes == (wanted[at] if at else None)
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
    assert (found.predicted_size, found.most, found.limit_bytes) == (MOST, MOST, 10**9)
    assert found.unchecked is None
    assert tried[0] == 2  # the first size of the sweep, at which nothing was measured
    assert len(tried) == len(set(tried)) < 14


def test_sizes_that_were_measured_are_not_tried_again(sizes, monkeypatch):
    """The search goes on from the largest of them."""
    tried = []

    def memory(self, arm, new_tokens):
        tried.append(self.vision_tokens // 36)
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(Passes, "memory", memory)
    last = Point(5, MEASURED, None, 1, 185, 180, memory=Memory(peak_allocated_bytes=5))
    done = [replace(last, size=2), replace(last, size=3), last]
    found = search(sizes, 10**9, predicts=False).capacity(DENSE, done)
    assert (found.size, found.bytes, found.next_size) == (5, 5, 6)
    assert tried == [10, 7, 6]


def few(size):
    """What a model with two frames a step is shown: no video of one frame, and none of 31."""
    if not 1 < size <= 30:
        raise MediaArgumentError("no such video")
    return frames(size)


@pytest.mark.parametrize("predicts", [True, False])
def test_sizes_that_cannot_be_shown_end_the_search_and_not_the_sweep(monkeypatch, predicts):
    """All measuring is done by then. Of what there is, all fits, or nothing does."""
    room, sizes = [True], clips(few)

    def memory(self, arm, new_tokens):
        if not room[0]:
            raise torch.OutOfMemoryError("full")
        return Memory(peak_allocated_bytes=7)

    monkeypatch.setattr(Passes, "memory", memory)
    found = search(sizes, 10**12, predicts=predicts).capacity(DENSE, ())
    assert (found.size, found.next_size, found.predicted_size) == (30, 31, 30)
    room[0] = False
    found = search(sizes, 1, predicts=predicts).capacity(DENSE, ())
    assert (found.size, found.next_size, found.predicted_size) == (None, 2, None)
    assert (found.bytes, found.measured_bytes, found.unchecked) == (None, None, None)


@pytest.mark.parametrize("predicts", [True, False])
def test_a_budget_that_no_drops_come_to_ends_the_search_too(monkeypatch, predicts):
    """20 tokens are a sixth, that is one layer of six, of 120: not of four frames' 144."""
    monkeypatch.setattr(Passes, "memory", lambda *arguments: Memory(peak_allocated_bytes=7))
    sizes = clips(sizes=(1, 2), budgets=("20",))
    [arm] = sizes.arms.of(get_method("v2drop"), small(), 36)
    found = search(sizes, 10**12, predicts=predicts).capacity(arm, ())
    assert (found.size, found.next_size) == (3, 4)


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


def test_a_decoder_that_is_not_known_has_no_prediction(sizes, monkeypatch):
    monkeypatch.setattr(module, "decoder_shape", lambda *parts: None)
    assert sizes.predicted(DENSE, 3) is None
    assert search(sizes, 10**9).capacity(DENSE, ()) is None


def point(sizes, size, wall_s, rows=1):
    row = sizes.row(size)
    wall = None if wall_s is None else Stats(wall_s, (wall_s,))
    return Point(size, MEASURED, None, rows, row.length, row.vision_tokens, wall_s=wall)


def test_how_long_a_run_may_take_grows_with_rows_and_with_tokens_squared(sizes):
    """The last size that was timed says so: 5 words and 36 tokens a frame."""
    done = [point(sizes, 2, 1.0), point(sizes, 3, 2.0)]
    longest = 2.0 * ((5 + 36 * 6) / (5 + 36 * 3)) ** 2
    assert replace(search(sizes, 1), most_s=longest)._too_much(6, done, None) is None
    said = replace(search(sizes, 1), most_s=longest * 0.999)._too_much(6, done, None)
    assert said == "a run there may take 7.65 s, more than --max-time"
    many = batches()
    done = [point(many, 2, 3.0, rows=2)]
    assert replace(search(many, 1), most_s=15.0)._too_much(10, done, None) is None
    assert replace(search(many, 1), most_s=14.9)._too_much(10, done, None) is not None
    for untimed in ([], [point(many, 2, None)]):
        assert search(many, 1)._too_much(10, untimed, None) == "no smaller size was timed"


def test_a_run_that_finds_no_room_says_so(sizes, needed, monkeypatch):
    """The prediction is not the whole truth."""

    def memory(self, arm, new_tokens):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(Passes, "memory", memory)
    done = [point(sizes, 2, 0.01)]
    found = search(sizes, needed[DENSE][6]).capacity(DENSE, done)
    assert (found.size, found.next_size, found.measured_bytes) == (6, 7, None)
    assert found.unchecked == "the device had no room for it"


def test_where_no_limit_is_known_nothing_is_searched(sizes):
    assert search(sizes, None).capacity(DENSE, ()) is None


def test_what_may_not_be_tried_is_told_with_its_numbers(monkeypatch):
    free = [300]
    monkeypatch.setattr(capacity_module, "free_memory", lambda device: free[0])
    room = Room(CPU, 1000, True, predicts=True)
    assert room.refusal(Footprint(700, 200, 100)) is None
    over = Footprint(701, 200, 100)
    assert room.refusal(over) == "predicted to need 1001 B of 1000 B asked for"
    device = replace(room, asked=False)
    assert device.refusal(over) == "predicted to need 1001 B of 1000 B of the device"
    assert replace(room, limit_bytes=None).refusal(over) is None
    free[0] = 299
    said = "predicted to need 300 B more, and 299 B are free"
    assert room.refusal(Footprint(1, 200, 100)) == said
    free[0] = 0
    assert room.refusal(Footprint(1, 0, 0)) is None
    assert room.refusal(Footprint(1, 0, 1)) is not None


def test_the_process_itself_is_looked_at_once():
    with limited(CPU, 10**12) as room:
        assert (room.limit_bytes, room.asked, room.predicts) == (10**12, True, True)
        assert (room.unknown, room.process_bytes) == (True, 0)
        room.look(small().model)
        assert room.process_bytes > 10**7
        assert not room.unknown
    with limited(CPU, None) as room:
        assert room.limit_bytes > 0
        assert not room.asked


@pytest.mark.parametrize(("resident", "beside"), [(1000, 900), (100, 0), (50, 0), (None, 0)])
def test_weights_are_no_part_of_the_process(monkeypatch, resident, beside):
    meter = SimpleNamespace(
        start=lambda: None,
        finish=lambda weights_bytes, kv_cache_bytes: Memory(rss_peak_bytes=resident),
    )
    monkeypatch.setattr(capacity_module, "memory_for", lambda device: meter)
    monkeypatch.setattr(capacity_module, "weights_bytes", lambda model: 100)
    room = Room(CPU, 1000, True, predicts=True)
    room.look(None)
    assert (room.process_bytes, room.unknown) == (beside, False)


@pytest.fixture
def told(monkeypatch):
    """What share of a GPU of 1000 bytes the allocator was held to."""
    told = []
    monkeypatch.setattr(capacity_module, "total_memory", lambda device: 1000)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: told.append(share)
    )
    return told


def test_a_gpu_is_held_to_the_limit_and_let_go(told):
    with limited(torch.device("cuda"), 250) as room:
        assert (room.limit_bytes, room.predicts, told) == (250, False, [0.25])
        assert not room.unknown
    assert told == [0.25, 1.0]
    with pytest.raises(KeyboardInterrupt), limited(torch.device("cuda"), 500):
        raise KeyboardInterrupt
    assert told[2:] == [0.5, 1.0]


@pytest.mark.parametrize("asked", [None, 1000, 1001])
def test_a_gpu_that_has_no_more_is_not_held(told, asked):
    with limited(torch.device("cuda"), asked) as room:
        assert (room.limit_bytes, room.asked, told) == (asked or 1000, asked is not None, [])


def test_a_device_that_does_not_tell_its_memory_is_not_held(told, monkeypatch):
    monkeypatch.setattr(capacity_module, "total_memory", lambda device: None)
    with limited(torch.device("cuda"), 250) as room:
        assert (room.limit_bytes, told) == (250, [])
    assert told == []


def test_what_is_searched_in_stays(sizes):
    with pytest.raises(FrozenInstanceError):
        search(sizes, 1).most_s = 2.0
