"""One prompt at many sizes: its rows, its arms, and the memory that these are predicted to need."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from tests.bench.growing import DENSE, DROPPED, batches, clips, frames, small
from tests.methods.toys import First, registered
from v2drop_cli.bench import sizes as sizes_module
from v2drop_cli.bench.arms import Arm, Budget
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.sizes import Shown
from v2drop_cli.errors import MediaArgumentError, ScheduleError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.models.synthetic.options import SyntheticInput
from v2drop_cli.models.synthetic.tiles import noise, shapes_only
from v2drop_cli.schedule import Schedule


@pytest.fixture(scope="module")
def sizes():
    return clips()


def test_what_is_asked_at_a_size_is_asked_of_that_many_rows():
    many = batches()
    found = replace(many, prompt="what?", decode="compiled").subject(3)
    assert (found.loaded, found.media, found.prompt) == (small(), (), "what?")
    assert (found.batch_size, found.decode) == (3, "compiled")
    assert found.synthetic == many.growing.shown(3).synthetic
    assert many.row(3).vision_tokens == 36  # of one row


def test_a_row_is_made_once_for_all_sizes_that_show_the_same():
    found = clips()
    assert found.row(3) is found.row(3)
    assert found.row(3) is not found.row(2)
    assert [found.row(size).vision_tokens for size in (2, 3)] == [72, 108]


@pytest.mark.parametrize("sizes", [(2, 3), (3, 2)])
def test_what_does_not_fit_one_of_the_sizes_is_refused_at_once(sizes):
    """A hundred tokens of two frames' 72."""
    with pytest.raises(ScheduleError):
        clips(sizes=sizes, budgets=("100",)).check()
    clips(sizes=(3,), budgets=("100",)).check()


@dataclass(frozen=True)
class Able(First):
    """Its name comes before all others, and before that of all together."""

    name = "able"


def test_all_methods_that_were_named_are_checked(monkeypatch):
    registered(monkeypatch, Able)
    for methods in (("v2drop", "random"), ("all", "random"), ("random", "all"), ("able",)):
        with pytest.raises(ScheduleError):
            clips(methods=methods, budgets=("100",)).check()
    # What does not fit is left out of all there are.
    clips(methods=("all",), budgets=("100",)).check()
    with pytest.raises(ScheduleError):  # V2Drop compares with the layer before
        clips(methods=("random", "v2drop"), schedules=("0:0.5",)).check()


def test_what_cannot_be_shown_is_refused_at_once():
    with pytest.raises(MediaArgumentError):
        clips(lambda size: frames(size - 2)).check()


def test_a_budget_comes_to_other_drops_at_each_size():
    found = clips(budgets=("50%",))
    [known] = found.arms.of(sizes_module.get_method("v2drop"), small(), 72)
    larger = found.arm(known, 3)
    assert larger.label == known.label
    assert larger.budget == Budget(54.0, name="50%")
    assert larger.schedule.resolve(108, 6).layer_average == pytest.approx(54, abs=0.5)
    assert found.arm(known, 2) == known


@pytest.mark.parametrize(
    ("arm", "columns"),
    [
        (DENSE, [113] * 6),
        (DROPPED, [113, *[32] * 5]),
        (Arm("random 0:9t,3:0", "random", Schedule.parse("0:9t,3:0")), [14] * 3 + [5] * 3),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_what_a_layer_holds_is_text_and_what_is_left_of_the_pictures(monkeypatch, arm, columns):
    given = []
    monkeypatch.setattr(sizes_module, "footprint", lambda *parts: given.append(parts))
    clips(schedules=(str(arm.schedule or "1:0.5"),)).predicted(arm, 3, 7)
    [(loaded, load, process)] = given
    assert (loaded, process) == (small(), 7)
    assert (load.columns, load.rows, load.new_tokens) == (columns, 1, 2)
    assert load.tensors["input_ids"].shape == (1, 113)


def test_text_may_be_longer_than_what_is_shown(monkeypatch):
    loads = []
    monkeypatch.setattr(sizes_module, "footprint", lambda loaded, load, process: loads.append(load))
    wordy = clips(lambda size: Shown((), SyntheticInput(frames=size, text_tokens=90)))
    wordy.predicted(DROPPED, 1)
    assert loads[0].columns == [90 + 36, *[90 + 9] * 5]


def test_a_process_that_was_not_looked_at_is_nothing(sizes):
    assert sizes.predicted(DENSE, 3).process_bytes == 0


def test_a_batch_is_predicted_without_making_it():
    many_rows = batches()
    one, many = (many_rows.predicted(DENSE, size) for size in (1, 1000))
    assert many.kv_cache_bytes == 1000 * one.kv_cache_bytes
    assert many.activation_bytes == 1000 * one.activation_bytes
    assert many.weights_bytes == one.weights_bytes
    assert len(many_rows._rows) == 1


def test_shapes_take_no_memory_and_are_the_real_ones(sizes):
    with shapes_only():
        assert noise(3, 1000, 1000).untyped_storage().nbytes() == 4
    assert {tensor.device.type for tensor in sizes.row(3).tensors.values()} == {"meta"}
    real = sizes.subject(3).prepare()
    row = sizes.row(3)
    assert {k: v.shape for k, v in row.tensors.items()} == {
        k: v.shape for k, v in real.tensors.items()
    }
    assert (row.length, row.vision_tokens) == (real.tensors["input_ids"].shape[1], 108)
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


def test_what_activations_are_predicted_of(sizes):
    """The tower of 2 layers keeps every layer's features; all numbers are float32."""
    row, config = sizes.row(3), small().model.config
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


def test_thresholds_found_for_a_budget_stay(sizes):
    found = Arm("x", "sparsevlm", Schedule.parse("1:0.5"), budget=Budget(9.0, name="9"))
    assert sizes.arm(found, 3) is found
    assert sizes.arm(DENSE, 3) is DENSE
    assert sizes.arm(DROPPED, 3) == DROPPED
    other = replace(DROPPED, label="another one's")
    assert sizes.arm(other, 3) is other


def test_a_method_that_chooses_its_counts_has_none_either(sizes):
    assert sizes.predicted(Arm("sparsevlm", "sparsevlm", Schedule.parse("1:0.5")), 3) is None


def test_what_grows_stays(sizes):
    for value, name in (
        (sizes, "prompt"), (sizes.growing, "most"), (frames(2), "rows"), (sizes.row(2), "tensors"),
    ):  # fmt: skip
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 1)
    assert (frames(2).rows, Shown((), None).rows, Shown(()).synthetic) == (1, 1, None)
