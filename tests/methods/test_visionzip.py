"""VisionZip against its definition, written out once more over lists."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.towers import Row, by_row, made_up, run, selected
from tests.tiny_llava import IMAGE, batch, make_llava, mixed_batch, one_prompt, row
from v2drop_cli.errors import ScheduleError, UsageError
from v2drop_cli.methods.registry import get_method
from v2drop_cli.schedule import Schedule


def visionzip(picture, k, contextual, cls=False):
    """Dominant tokens; targets with what they become before the projector; who goes to whom."""
    scores = picture.attention[-2].astype(float).sum(0)
    keys = picture.keys.astype(float).mean(0)
    unit = keys / np.sqrt((keys**2).sum(1, keepdims=True))
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    dominant = sorted(order[: k - contextual - cls])
    rest = [i for i in range(len(scores)) if i not in dominant]
    if not contextual:
        return dominant, [], {}, {}
    targets = rest[:: max(1, len(rest) // contextual)][:contextual]
    goes = {
        i: max(targets, key=lambda t: (unit[i] @ unit[t], -t)) for i in rest if i not in targets
    }
    states = picture.features.astype(float)
    merged = {}
    for target in targets:
        members = [states[i] for i, t in goes.items() if t == target]
        merged[target] = states[target] + (np.mean(members, axis=0) if members else 0)
    return dominant, targets, goes, merged


@pytest.mark.parametrize("inputs", [one_prompt(), mixed_batch(), batch([row(3, 2, 0, 1)])])
@pytest.mark.parametrize(("text", "k"), [("visionzip", 20), ("visionzip:contextual=6", 14)])
def test_what_the_decoder_gets_of_one_image_several_and_ragged_rows(inputs, text, k):
    entered, [event], pictures, model = run(text, inputs, f"0:{k}t")
    project = model.model.multi_modal_projector
    for b, own in enumerate(by_row(pictures, inputs, IMAGE)):
        if not own:
            continue
        ids = inputs["input_ids"][b].tolist()
        vision = [i for i, t in enumerate(ids) if t == IMAGE]
        total = int(k * 10 / 64) if text == "visionzip" else 6
        whole = [k] if len(own) == 1 else [k - k // 2, k // 2]
        part = [total] if len(own) == 1 else [total - total // 2, total // 2]
        wanted, states = [], []
        for i, picture in enumerate(own):
            dominant, targets, _, merged = visionzip(picture, whole[i], part[i])
            wanted += [vision[36 * i + j] for j in (*dominant, *targets)]
            with torch.no_grad():
                new = [project(torch.from_numpy(merged[t]).float()) for t in targets]
            states += [torch.from_numpy(picture.projected[j]) for j in dominant] + new
        assert list(event.kept[b]) == wanted
        # Padding is gone; a word stands before the second picture.
        at = int(inputs["attention_mask"][b, : vision[0]].sum())
        got = entered[b, at : at + whole[0]]
        if len(own) == 2:
            at += whole[0] + 1
            got = torch.cat([got, entered[b, at : at + whole[1]]])
        torch.testing.assert_close(got, torch.stack(states), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cls", [False, True])
@pytest.mark.parametrize(("sizes", "k", "c"), [([30], 12, 4), ([30], 29, 9), ([20, 5], 12, 3)])
def test_merged_values_and_their_sources(sizes, k, c, cls):
    pictures = made_up(sizes, seed=k)
    kept = selected(f"visionzip:contextual={c},cls={str(cls).lower()}", Row(pictures), k)
    counts = [k] if len(sizes) == 1 else [k - 5, 5]
    parts = [c] if len(sizes) == 1 else [2, 1]
    index, states, sources, first = [], [], {}, 0
    for picture, count, part in zip(pictures, counts, parts, strict=True):
        dominant, targets, goes, merged = visionzip(picture, count, part, cls)
        if cls:
            spare = next(i for i in range(count) if i not in (*dominant, *targets))
            index.append(first + spare)
            states.append(picture.cls * 2 + 1)
        at = len(index) + len(dominant)
        index += [first + i for i in (*dominant, *targets)]
        states += [picture.projected[i] for i in dominant]
        states += [merged[t] * 2 + 1 for t in targets]
        sources |= {first + i: at + targets.index(t) for i, t in goes.items()}
        first += len(picture.features)
    assert kept.index.tolist() == index
    assert kept.in_order
    np.testing.assert_allclose(kept.merged.numpy(), np.stack(states), atol=1e-5)
    assert kept.sources.tolist() == [sources.get(i, -1) for i in range(sum(sizes))]


@pytest.mark.parametrize(("k", "parts"), [(64, 10), (128, 20), (192, 30)])
def test_the_published_numbers_of_contextual_tokens(k, parts):
    pictures = made_up([200])
    kept = selected("visionzip", Row(pictures), k)
    dominant, targets, *_ = visionzip(pictures[0], k, parts)
    assert kept.index.tolist() == [*dominant, *targets]


def test_few_tokens_are_all_dominant_and_as_many_contextual_ones_leave_none():
    pictures = made_up([12])
    kept = selected("visionzip", Row(pictures), 5)
    assert kept.merged is None
    assert kept.index.tolist() == visionzip(pictures[0], 5, 0)[0]
    kept = selected("visionzip:contextual=5", Row(pictures), 5)
    assert kept.index.tolist() == visionzip(pictures[0], 5, 5)[1]


def test_ties_go_to_the_earlier_token_and_the_earlier_target():
    [picture] = made_up([12])
    picture.attention[-2][:] = 1 / 12
    picture.keys[:] = picture.keys[:, :1]
    kept = selected("visionzip:contextual=2", Row([picture]), 6)
    assert kept.index.tolist() == [0, 1, 2, 3, 4, 8]
    assert kept.sources.tolist() == [-1] * 5 + [4] * 3 + [-1] + [4] * 3


def test_with_original_positions_tokens_stay_in_sequence_order():
    model, inputs = make_llava(4), one_prompt()
    for text in ("visionzip:contextual=6", "visionzip:contextual=6,positions=original"):
        with torch.no_grad(), v2drop.dropping(model, "0:14t", method=text) as trace:
            model(**inputs)
        kept = list(trace.events[0].kept[0])
        assert (kept == sorted(kept)) == ("original" in text)


def test_newlines_last():
    pictures = made_up([2])
    got = selected("visionzip", Row(pictures, crop=[0, -1, 0, -1], patch=[0] * 4), 3)
    assert got.index.tolist() == [0, 2, 1]


def test_later_than_before_the_decoder_there_is_nothing_to_merge():
    with (
        pytest.raises(ScheduleError, match="layer 1") as caught,
        v2drop.dropping(make_llava(4), "1:14t", method="visionzip"),
    ):
        pass
    assert "0:" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "schedule", "room"),
    [
        ("contextual=10", "0:9t", 9),
        ("contextual=10,cls=true", "0:10t", 9),
        ("contextual=10+random", "0:9t,2:0", 9),
    ],
)
def test_more_contextual_tokens_than_stay_are_refused_before_anything_runs(text, schedule, room):
    method = get_method(f"visionzip:{text}")
    with pytest.raises(ScheduleError, match=f"contextual=10 .* room for {room}") as caught:
        method.check(Schedule.parse(schedule))
    assert "11 tokens" in caught.value.hint if "cls" in text else "10 tokens" in caught.value.hint
    method.check(Schedule.parse(schedule.replace("0:9t", "0:10t").replace("0:10t", "0:11t")))
    method.check(Schedule.parse(schedule.replace("9t", "0t").replace("10t", "5%")))


def test_a_share_of_the_prompt_tells_only_at_the_drop():
    row = Row(made_up([12, 12]))
    assert len(selected("visionzip:contextual=6", row, 6).index) == 6
    with pytest.raises(ScheduleError, match=r"contextual=6 .* room for 5$"):
        selected("visionzip:contextual=6", row, 5)
    with pytest.raises(ScheduleError, match="room for 4 beside its class tokens"):
        selected("visionzip:contextual=5,cls=true", row, 6)  # two pictures, two class tokens


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("visionzip:contextual=-1", "contextual=-1"),
        ("visionzip:contextual=2.5", r"contextual=2\.5"),
        ("visionzip:cls=true,positions=original", "cls=true"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(text, match):
    with pytest.raises(UsageError, match=match) as caught:
        get_method(text)
    assert caught.value.hint
