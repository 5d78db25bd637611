"""The stage split: its parts add up, and looking at them never waits for the device."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import torch

from tests.checkpoints import save_checkpoint
from tests.measure.conftest import FakeCuda
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.stages import StageTimes, time_stages
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.measure.clock import CudaClock
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.schedule import Schedule

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"
ARMS = [Arm("dense"), Arm("v2drop", "v2drop", Schedule.parse("1:0.5,3:0.3,4:0"))]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def passes(loaded):
    return Passes(Subject(loaded, [load_image(CAT)], "what?"), Nvml(loaded.device))


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.label)
def test_a_trial_waits_for_the_device_twice_and_only_outside_the_timed_region(
    passes, monkeypatch, arm
):
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    clock = CudaClock(torch.device("cuda"))
    cuda.log.clear()
    passes.time(arm, clock, 3)
    calls = [name for name, _ in cuda.log]
    assert calls.count("synchronize") == 2
    assert (calls[0], calls[-1]) == ("synchronize", "synchronize")
    # start, tower, projector, decoder, first token, end; three drops and the putting back
    assert calls.count("record") == 8 + (8 if arm.method else 0)


def test_parts_are_within_their_stage(passes):
    from v2drop_cli.measure.clock import CpuClock

    times = passes.time(ARMS[1], CpuClock(), 3)
    assert times.preprocess_s == pytest.approx(times.processor_s + times.transfer_s)
    assert 0 < times.tower_s + times.projector_s <= times.vision_s
    assert 0 < times.drop_s < times.prefill_s
    assert passes.time(ARMS[0], CpuClock(), 3).drop_s is None


def test_a_drop_at_layer_0_is_part_of_the_prefill(passes):
    from v2drop_cli.measure.clock import CpuClock

    times = passes.time(Arm("entry", "uniform", Schedule.parse("0:0.5")), CpuClock(), 3)
    assert 0 < times.drop_s < times.prefill_s


def test_a_family_that_does_not_say_where_its_tower_is(loaded):
    from v2drop_cli.measure.clock import CpuClock

    nowhere = {"vision_tower": lambda model: None, "projector": lambda model: None}
    plain = replace(loaded, family=replace(loaded.family, **nowhere))
    inputs = Subject(plain, [load_image(CAT)], "what?").prepare()
    times = time_stages(plain, inputs, CpuClock(), 2)
    assert (times.tower_s, times.projector_s) == (None, None)
    assert times.vision_s > 0


def test_marks_come_in_pairs_and_only_where_something_is_dropped(loaded):
    inputs = Subject(loaded, [load_image(CAT)], "what?").prepare()
    told = []
    with dropping(loaded.model, "1:1.0,3:0.5", mark=told.append), torch.no_grad():
        loaded.model(**inputs.tensors)
    assert told == ["drop begins", "drop ends"] * 3  # two drop layers, then the putting back
    told.clear()
    text = {"input_ids": torch.tensor([[1, 5, 6]])}
    with dropping(loaded.model, "1:0.5", mark=told.append), torch.no_grad():
        loaded.model(**text)
    assert told == []


def times(**known):
    parts = {"preprocess_s": 1.0, "vision_s": 2.0, "prefill_s": 4.0, "media_s": 8.0}
    rest = {"decode_s_per_token": None, "generate_s": 16.0, "wall_s": 32.0}
    return StageTimes(**{**parts, **rest, **known})


def test_stages_that_contain_others_add_up():
    assert times().time_to_first_token_s == 1 + 2 + 4
    assert times().end_to_end_s == 8 + 1 + 32
    assert times(media_s=None).end_to_end_s is None
    assert times(preprocess_s=None).end_to_end_s is None
    assert times(preprocess_s=None).time_to_first_token_s is None
    assert times(media_s=None).time_to_first_token_s == 7
    with pytest.raises(FrozenInstanceError):
        times().wall_s = 0.0


def test_a_later_token_takes_its_share_of_what_comes_after_the_first(loaded):
    from v2drop_cli.measure.clock import CpuClock

    inputs = Subject(loaded, [load_image(CAT)], "what?").prepare()
    found = time_stages(loaded, inputs, CpuClock(), 3)
    after = found.generate_s - found.vision_s - found.prefill_s
    assert found.decode_s_per_token == pytest.approx(after / 2)
    assert time_stages(loaded, inputs, CpuClock(), 1).decode_s_per_token is None


@pytest.mark.parametrize(
    ("tower_s", "projector_s", "expected"),
    [(0.5, 0.25, 0.25), (0.5, 0.6, 0.0), (None, 0.25, None), (0.5, None, None)],
)
def test_merging_is_the_rest_of_vision_and_never_less_than_nothing(tower_s, projector_s, expected):
    times = StageTimes(None, 1.0, 2.0, None, 3.0, 3.0, tower_s=tower_s, projector_s=projector_s)
    assert times.merging_s == expected
