"""``--method all``: what can run is taken, what cannot is named with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.checkpoints import save_checkpoint
from tests.families.loaded import case_passes, loaded_case
from tests.methods.toys import Choosy, Once, only, registered
from v2drop_cli import load
from v2drop_cli.bench.arms import Arm, ArmOptions, ScheduleOptions
from v2drop_cli.bench.line_up import line_up
from v2drop_cli.bench.passes import Passes, Subject
from v2drop_cli.bench.watch import Phase, Watch
from v2drop_cli.errors import ScheduleError, UnsupportedModelError
from v2drop_cli.measure.nvml import Nvml
from v2drop_cli.media import load_image
from v2drop_cli.methods.base import Positions
from v2drop_cli.methods.registry import known_methods

CAT = Path(__file__).parents[2] / "sample_media" / "cat.jpg"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_checkpoint(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def passes(loaded):
    with Nvml(loaded.device) as nvml:
        yield Passes(Subject(loaded, [load_image(CAT)], "what?"), nvml)


def lined_up(passes, *methods, watch=None, **schedules):
    return line_up(ArmOptions(ScheduleOptions(**schedules), methods), passes, watch or Watch())


def left_out(passes):
    return [c.message for c in passes.caveats() if c.code == "method_left_out"]


def test_all_takes_what_can_run_and_names_the_others(passes, monkeypatch):
    only(monkeypatch, "v2drop", "random")
    registered(monkeypatch, Choosy, Once)
    told, phases = [], []
    watch = Watch(lambda progress: phases.append(progress.phase), tell=told.append)
    arms = lined_up(passes, "all", watch=watch, schedules=("2:0.5",))
    assert [arm.label for arm in arms] == ["dense", "v2drop 2:0.5", "random 2:0.5", "once 2:0.5"]
    assert left_out(passes) == told
    [reason] = told
    assert "choosy" in reason
    assert "needs what no model has" in reason
    assert phases == [Phase.METHODS] * len(known_methods())


def test_what_all_leaves_out_is_refused_by_hand(passes, monkeypatch):
    only(monkeypatch, "v2drop", "uniform")
    arms = lined_up(passes, "all", schedules=("0:0.5",))
    assert [arm.label for arm in arms] == ["dense", "uniform 0:0.5"]
    with pytest.raises(ScheduleError) as caught:
        lined_up(passes, "v2drop", schedules=("0:0.5",))
    [reason] = left_out(passes)
    assert reason.endswith(caught.value.message)


def test_where_none_can_run_the_reason_is_the_error(passes, monkeypatch):
    only(monkeypatch, "v2drop", "v2drop-l1")
    with pytest.raises(ScheduleError, match="v2drop cannot drop at layer 0"):
        lined_up(passes, "all", schedules=("0:0.5",))


def test_all_beside_a_method_with_parameters(passes, monkeypatch):
    only(monkeypatch, "random")
    registered(monkeypatch, Once)
    arms = lined_up(passes, "once:layer=3", "all", "random")
    assert [arm.label for arm in arms] == ["dense", "once:layer=3", "random", "once"]


def test_what_is_no_refusal_ends_the_command(passes, monkeypatch):
    def broken(self, arm):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Passes, "prefill", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        lined_up(passes, "all")


@dataclass(frozen=True)
class Moved(Once):
    """A method whose authors renumber, on a model that cannot."""

    name = "moved"
    positions: Positions = field(default="renumbered", kw_only=True)

    def score(self, ctx):
        if self.positions == "renumbered":
            raise UnsupportedModelError("this model's positions cannot be renumbered")
        return super().score(ctx)


def test_a_model_with_positions_on_three_axes_takes_them_original_and_says_why(monkeypatch):
    only(monkeypatch, "v2drop", "divprune")
    mrope = case_passes(loaded_case("qwen2_vl"), 1, None)
    arms = lined_up(mrope, "all", budgets=("50%",))
    assert [arm.label for arm in arms[1:]] == [
        "v2drop budget 50%", "divprune:positions=original budget 50%",
    ]  # fmt: skip
    [kept] = [c.message for c in mrope.caveats() if c.code == "positions_kept"]
    assert "M-RoPE" in kept
    for typed in ("divprune", "divprune+v2drop"):
        [_, arm] = lined_up(mrope, typed, budgets=("50%",))
        with pytest.raises(UnsupportedModelError, match="M-RoPE") as caught:
            mrope.answer(arm, 1)
        assert caught.value.hint == "write divprune:positions=original"
    [_, arm] = lined_up(mrope, "divprune:positions=original+v2drop", budgets=("50%",))
    assert mrope.answer(arm, 1).drops[0].layer == 0


def test_all_falls_back_to_original_positions_and_says_so(passes, monkeypatch):
    only(monkeypatch)
    registered(monkeypatch, Moved)
    arms = lined_up(passes, "all")
    assert [arm.label for arm in arms] == ["dense", "moved:positions=original"]
    [kept] = [c.message for c in passes.caveats() if c.code == "positions_kept"]
    assert "cannot be renumbered" in kept
    assert not left_out(passes)


def test_arms_of_ones_own_stay_as_they_are(passes):
    """The A/A study measures two dense arms, which no method makes."""
    own = [Arm("dense"), Arm("dense again")]

    class Twice(ArmOptions):
        def resolve(self, loaded, n_vision):
            return own

    assert line_up(Twice(methods=()), passes, Watch()) == own
