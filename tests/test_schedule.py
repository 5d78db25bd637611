"""Schedules: grammar, arithmetic, presets and the budget solver."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2drop_cli.errors import ScheduleError, UnknownNameError
from v2drop_cli.schedule import (
    PRESETS,
    REFERENCE_DEPTH,
    REFERENCE_LAYERS,
    Drop,
    DropPlan,
    Schedule,
    parse_share,
    preset,
    scale_layers,
    solve_budget,
)

shares = st.floats(0, 1, allow_nan=False).map(lambda x: round(x, 4))
keeps = st.one_of(
    shares.map(lambda s: {"keep": s}), st.integers(0, 9999).map(lambda n: {"count": n})
)
schedules = st.dictionaries(st.integers(0, 60), keeps, min_size=1, max_size=6).map(
    lambda entries: Schedule(tuple(Drop(layer, **entries[layer]) for layer in sorted(entries)))
)


# Grammar -------------------------------------------------------------------------------------


@given(schedules)
def test_text_form_round_trips(schedule):
    assert Schedule.parse(str(schedule)) == schedule


@given(st.text(max_size=30))
def test_any_text_parses_or_is_refused_with_a_hint(text):
    try:
        schedule = Schedule.parse(text)
    except ScheduleError as error:
        assert error.hint
        assert "\n" not in error.hint
    else:
        assert Schedule.parse(str(schedule)) == schedule


def test_forms_of_keep():
    parsed = Schedule.parse(" 3:0.5 , 17 : 30%,22:1t ")
    assert parsed == Schedule((Drop(3, 0.5), Drop(17, 0.3), Drop(22, count=1)))
    assert str(parsed) == "3:0.5,17:0.3,22:1t"
    assert Schedule.parse(parsed) is parsed
    assert Schedule.from_lists([3, 17], ["0.5", "25%"]) == Schedule.parse("3:0.5,17:0.25")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" , ", "empty"),
        ("3:0.5,", "cannot read ''"),
        pytest.param(
            "x" * 900, rf"cannot read '{'x' * 57}\.\.\.' in schedule 'x{{57}}\.", id="long"
        ),
        ("3", "cannot read '3'"),
        ("3:", "cannot read"),
        ("x:0.5", "cannot read 'x:0.5'"),
        ("3:half", "'half' is no keep ratio"),
        ("3:1.5", "1.5 is outside"),
        ("3:-0.1", "-0.1 is outside"),
        ("3:nan", "nan is outside"),
        ("3:inf", "inf is outside"),
        ("3:150%", "150% is outside"),
        ("3:-5t", "cannot keep -5"),
        ("3:1.5t", "'1.5t' is no keep ratio"),
        ("-1:0.5", "layer -1 is negative"),
        ("3:0.5,3:0.2", "layer 3 drops twice"),
        ("17:0.5,3:0.2", "layer 3 comes after layer 17"),
    ],
)
def test_refusals_name_the_value(text, said):
    with pytest.raises(ScheduleError, match=said) as caught:
        Schedule.parse(text)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_lists_of_different_lengths():
    with pytest.raises(ScheduleError, match="2 layers but 1 ratios"):
        Schedule.from_lists([1, 2], ["0.5"])


def test_as_many_drops_as_one_likes():
    many = range(1, 301)
    assert len(Schedule.from_lists(many, ["50%"] * 300).drops) == 300
    for budget in (50, 90):
        found = solve_budget(budget, n_vision=100, n_layers=400, layers=many)
        assert found.resolve(100, 400).layer_average == pytest.approx(budget, abs=0.5)


def test_a_drop_takes_one_of_share_and_count():
    with pytest.raises(ScheduleError, match="a share or a count"):
        Drop(3)
    with pytest.raises(ScheduleError, match="a share or a count"):
        Drop(3, 0.5, 4)


def test_a_count_is_an_integer_of_0_or_more():
    assert Drop(3, count=0).count == 0
    with pytest.raises(ScheduleError, match=r"cannot keep 1\.5 tokens"):
        Drop(3, count=1.5)
    with pytest.raises(ScheduleError, match="cannot keep -1 tokens"):
        Drop(3, count=-1)


@pytest.mark.parametrize("share", [-0.5, 1.5, math.nan])
def test_a_share_outside_0_to_1_is_refused_wherever_it_comes_from(share):
    with pytest.raises(ScheduleError, match="outside 0 to 1"):
        Drop(3, share)
    with pytest.raises(ScheduleError, match="outside 0 to 1"):
        parse_share(str(share))


def test_all_digits_of_a_share_are_written():
    assert str(Drop(1, 1 / 3)) == "1:0.3333333333333333"
    assert str(Drop(1, 0.1234567)) == "1:0.1234567"  # six digits of it are more
    assert str(Drop(1, 0.1234561)) == "1:0.1234561"  # and of this one less
    assert str(Drop(1, 0.25)) == "1:0.25"


def test_the_longest_numbers_that_are_read():
    assert Schedule.parse("999999:999999999t").drops == (Drop(999999, count=999999999),)
    for text in ("1000000:0.5", "1:1000000000t"):
        with pytest.raises(ScheduleError):
            Schedule.parse(text)


@pytest.mark.parametrize("nothing", [None, 3, ["3:0.5"]])
def test_what_is_no_text_is_no_schedule(nothing):
    with pytest.raises(ScheduleError, match="is no schedule"):
        Schedule.parse(nothing)


def test_a_schedule_is_never_changed():
    schedule = Schedule.parse("3:0.5")
    for item, field in (
        (schedule, "drops"), (schedule.drops[0], "keep"), (schedule.resolve(8, 4), "counts"),
    ):  # fmt: skip
        with pytest.raises(FrozenInstanceError):
            setattr(item, field, None)


def test_parse_share():
    assert [parse_share(text) for text in ("0", "1", "0%", "100%")] == [0, 1, 0, 1]
    assert parse_share("50%") == 0.5
    assert parse_share("1e-1") == 0.1
    with pytest.raises(ScheduleError):
        parse_share("")


# Arithmetic ----------------------------------------------------------------------------------


@given(schedules, st.integers(0, 5000))
def test_counts_never_grow_and_change_only_at_drops(schedule, n_vision):
    plan = schedule.resolve(n_vision, n_layers=61)
    assert len(plan.counts) == 61
    alive = n_vision
    at = {drop.layer: drop for drop in schedule.drops}
    for layer, count in enumerate(plan.counts):
        if layer in at:
            drop = at[layer]
            want = min(alive, drop.count) if drop.count is not None else int(alive * drop.keep)
            assert count == want
        else:
            assert count == alive
        assert 0 <= count <= alive
        alive = count


def test_plan_stages_and_average():
    plan = Schedule.parse("3:0.5,17:0.3,22:0").resolve(576, 32)
    assert plan.layer_average == pytest.approx((576 * 3 + 288 * 14 + 86 * 5) / 32)
    entry = Schedule.parse("0:0.5,17:0.3").resolve(576, 32)
    assert entry.counts == (288,) * 17 + (86,) * 15


def test_what_happened_is_a_plan_too():
    assert DropPlan.realised(9, 4, {}).counts == (9, 9, 9, 9)
    assert DropPlan.realised(9, 4, {0: 5, 2: 3}).counts == (5, 5, 3, 3)
    assert DropPlan.realised(9, 3, {1: 0, 2: 4}).counts == (9, 0, 4)


@pytest.mark.parametrize(
    ("name", "average"),
    # With 22:0 as in the paper's table. (With one token kept to the end, as the authors' code
    # does, the first three read 193.75, 131.0 and 66.7.)
    [
        ("paper-192", 193.4375),
        ("paper-128", 130.6875),
        ("paper-64", 66.40625),
        ("official-code", 202.8125),
    ],
)
def test_presets_on_llava_7b(name, average):
    schedule = preset(name, PRESETS, n_layers=32)
    assert str(schedule) == PRESETS[name]
    assert schedule.resolve(576, 32).layer_average == average


def test_check_names_the_range():
    with pytest.raises(ScheduleError, match="layers 0 to 11"):
        Schedule.parse("12:0.5").resolve(10, n_layers=12)
    with pytest.raises(ScheduleError, match="before layer 3"):
        Schedule.parse("2:0.5").resolve(10, n_layers=12, first_droppable=3)
    with pytest.raises(ScheduleError, match=r"\(asked: 0\): it needs all") as caught:
        Schedule.parse("0:0.5").check(n_layers=12, first_droppable=3, why="it needs all")
    assert "3 to 11" in caught.value.hint


def test_the_first_and_the_last_layer_that_may_drop():
    assert Schedule.parse("0:0.5,1:0").resolve(10, n_layers=2).counts == (5, 0)
    Schedule.parse("0:0.5").check(n_layers=2)
    kept = Schedule.parse("3:0.5,11:0").resolve(10, n_layers=12, first_droppable=3).counts
    assert kept == (10,) * 3 + (5,) * 8 + (0,)
    for text in ("12:0.5", "13:0.5", "2:0.5", "1:0.5"):
        with pytest.raises(ScheduleError) as caught:
            Schedule.parse(text).check(n_layers=12, first_droppable=3)
        assert "layers 3 to 11" in caught.value.hint
    with pytest.raises(ScheduleError, match=r"\(asked: 2\): of its features"):
        Schedule.parse("2:0").check(n_layers=12, first_droppable=3, why="of its features")


# Presets at other depths ---------------------------------------------------------------------


@given(st.integers(2, 120), st.integers(0, 5))
def test_scaled_layers_are_valid_and_increasing(n_layers, first):
    layers = scale_layers((3, 17, 22), n_layers, first)
    assert layers == sorted(set(layers))
    assert all(max(1, first) <= layer < n_layers for layer in layers)


def test_layer_0_is_the_input_at_every_depth_and_no_other_layer_becomes_it():
    assert scale_layers((0, 17), 12) == [0, 6]
    assert scale_layers((0, 1), 4) == [0, 1]
    assert scale_layers((3,), 2) == [1]


@pytest.mark.parametrize(
    ("layers", "options", "scaled"),
    [
        ((3, 17, 22), {"n_layers": 64}, [6, 34, 44]),
        ((3, 17, 22), {"n_layers": 6}, [1, 3, 4]),
        ((3, 17, 22), {"n_layers": 12, "first_droppable": 2}, [2, 6, 8]),
        ((5, 10), {"n_layers": 10, "written_for": 20}, [2, 5]),
        ((1, 2, 3), {"n_layers": 32, "first_droppable": 3}, [3, 4, 5]),
        ((1, 2, 3), {"n_layers": 4, "first_droppable": 3}, [3]),
        # The input stays the input, and what is deeper stays deeper than that.
        ((0, 1, 17), {"n_layers": 12}, [0, 1, 6]),
        ((1, 2), {"n_layers": 4}, [1, 2]),
        ((0, 3), {"n_layers": 12, "first_droppable": 2}, [2, 3]),
    ],
)
def test_scaled_layers(layers, options, scaled):
    assert scale_layers(layers, **options) == scaled


def test_the_papers_depths():
    assert (REFERENCE_LAYERS, REFERENCE_DEPTH) == ((3, 17, 22), 32)


def test_a_familys_own_preset_is_for_its_own_depth():
    assert str(preset("entry", {"entry": "0:0.5"}, n_layers=32)) == "0:0.5"
    own = {"own": "2:0.5,10:4t"}
    assert str(preset("own", own, n_layers=20, written_for=20)) == "2:0.5,10:4t"
    assert str(preset("own", own, n_layers=40, written_for=20)) == "4:0.5,20:4t"
    assert str(preset("own", own, n_layers=20, written_for=20, first_droppable=3)) == "3:0.5,10:4t"


def test_presets_scale_by_depth():
    assert str(preset("paper-192", PRESETS, n_layers=12)) == "1:0.5,6:0.3,8:0"
    assert str(preset("paper-192", PRESETS, n_layers=28)) == "3:0.5,15:0.3,19:0"
    assert str(preset("paper-192", PRESETS, n_layers=2)) == "1:0.5"
    with pytest.raises(UnknownNameError, match="paper-191"):
        preset("paper-191", PRESETS, n_layers=32)


# Budgets -------------------------------------------------------------------------------------


@given(
    st.integers(20, 6000),
    st.integers(12, 80),
    st.lists(st.integers(0, 11), min_size=1, max_size=4, unique=True).map(sorted),
    st.floats(0, 1),
)
def test_the_solver_meets_any_reachable_budget_within_half_a_token(
    n_vision, n_layers, layers, where
):
    lowest = n_vision * layers[0] / n_layers
    budget = lowest + where * (n_vision - lowest)
    schedule = solve_budget(budget, n_vision=n_vision, n_layers=n_layers, layers=layers)
    plan = schedule.resolve(n_vision, n_layers)
    assert abs(plan.layer_average - budget) <= 0.5 + 1e-9
    assert [drop.layer for drop in schedule.drops] == layers
    counts = [drop.count for drop in schedule.drops]
    assert counts == sorted(counts, reverse=True)


def test_the_solver_drops_all_at_last_like_the_paper():
    schedule = solve_budget(192, n_vision=576, n_layers=32, layers=(3, 17, 22))
    assert schedule.drops[-1].count == 0
    assert schedule.resolve(576, 32).layer_average == pytest.approx(192, abs=0.5)
    generous = solve_budget(500, n_vision=576, n_layers=32, layers=(3, 17, 22))
    assert generous.drops[-1].count > 0


@pytest.mark.parametrize(
    ("budget", "layers", "expected"),
    [
        (192, (3, 17, 22), "3:270t,17:127t,22:0t"),  # 576·3 + 270·14 + 127·5 = 32 · 191.97
        (396, (3, 17, 22), "3:576t,17:576t,22:0t"),  # the most with nothing kept at last
        (450, (3, 17, 22), "3:494t,17:423t,22:364t"),
        (500, (3, 17, 22), "3:528t,17:486t,22:445t"),
        (576, (3, 17, 22), "3:576t,17:576t,22:576t"),
        (100, (3, 17), "3:90t,17:14t"),  # two drops: the last one keeps some
        (54, (3, 17, 22), "3:0t,17:0t,22:0t"),
        (53.5, (3,), "3:0t"),
        (53.5, (3, 17, 22), "3:0t,17:0t,22:0t"),  # half a token less than can be met
    ],
)
def test_solved_budgets(budget, layers, expected):
    found = solve_budget(budget, n_vision=576, n_layers=32, layers=layers)
    assert str(found) == expected


def test_a_budget_of_nothing_where_the_first_layers_share_rounds_to_it():
    assert str(solve_budget(0, n_vision=1, n_layers=32, layers=(1,))) == "1:0t"
    with pytest.raises(ScheduleError, match="means nothing"):
        solve_budget(-0.3, n_vision=1, n_layers=32, layers=(1,))


@pytest.mark.parametrize(
    ("budget", "n_vision", "n_layers", "layers", "expected"),
    [
        # Rounding is made good for at the drop that serves most layers, and then at others,
        (27.3, 36, 10, (1, 3, 7, 8), "1:34t,3:34t,7:33t,8:0t"),
        # where no drop keeps more than the one before it.
        (3.7, 5, 8, (1, 2, 3, 5), "1:4t,2:4t,3:4t,5:3t"),
        (23.8, 25, 8, (1, 2, 3, 6), "1:25t,2:25t,3:23t,6:23t"),
        (5.9, 6, 12, (5, 6, 8, 10), "5:6t,6:6t,8:6t,10:5t"),
    ],
)
def test_single_tokens_are_settled_where_they_count(budget, n_vision, n_layers, layers, expected):
    found = solve_budget(budget, n_vision=n_vision, n_layers=n_layers, layers=layers)
    assert str(found) == expected


def test_four_drops_keep_one_share_of_what_is_alive_and_nothing_at_last():
    found = solve_budget(30, n_vision=100, n_layers=10, layers=(1, 3, 5, 9))
    assert str(found) == "1:51t,3:25t,5:12t,9:0t"


def test_a_budget_beside_layers_that_do_not_exist():
    with pytest.raises(ScheduleError, match="layer 32 does not exist"):
        solve_budget(100, n_vision=576, n_layers=32, layers=(3, 32))


@pytest.mark.parametrize("budget", [53, 53.4, 577, -1, math.nan, math.inf])
def test_impossible_budgets_say_the_range(budget):
    with pytest.raises(ScheduleError) as caught:
        solve_budget(budget, n_vision=576, n_layers=32, layers=(3, 17, 22))
    assert caught.value.hint
    if budget in (53, 53.4, 577):
        assert "first drop at layer 3 of 32" in caught.value.message
        assert "54 to 576" in caught.value.message


@pytest.mark.parametrize("tenths", range(1001))
def test_a_percentage_is_the_share_that_it_says(tenths):
    """2.8 / 100 in binary is less than 0.028: one token of a thousand fewer, and another arm."""
    share = f"{tenths // 1000}.{tenths % 1000:03d}"
    percent = f"{tenths // 10}.{tenths % 10}%"
    assert Schedule.parse(f"2:{percent}") == Schedule.parse(f"2:{share}")
