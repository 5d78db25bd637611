"""Methods that merge: the values, and what they are made of."""

from __future__ import annotations

import json

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.toys import Pairs
from tests.report import factory
from tests.tiny_llava import IMAGE, PATCHES, make_llava, mixed_batch, one_prompt
from v2drop_cli.errors import InstrumentError, UsageError
from v2drop_cli.methods.base import Kept, Method
from v2drop_cli.records import Drop
from v2drop_cli.records.reading import read_report, validate


def test_the_values_of_pairs_are_their_means():
    model, inputs, seen = make_llava(12), one_prompt(), []
    layer = model.model.language_model.layers[2]
    handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model(**inputs)
        with v2drop.dropping(model, "2:10t", method=Pairs()):
            # Registered later, so called after the hook that drops.
            handle.remove()
            handle = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
            model(**inputs)
    handle.remove()
    dense, dropped = seen
    first = inputs["input_ids"][0].tolist().index(IMAGE)
    pairs = dense[:, first : first + 20].unflatten(1, (10, 2)).mean(2)
    torch.testing.assert_close(dropped[:, first : first + 10], pairs)


def test_the_trace_names_what_went_into_each_survivor_at_every_drop_and_row():
    model, inputs = make_llava(12), mixed_batch()
    with v2drop.dropping(model, "2:10t,4:4t", method=Pairs()) as trace, torch.no_grad():
        model(**inputs)
    first, second = trace.events
    starts = [row.index(IMAGE) if IMAGE in row else 0 for row in inputs["input_ids"].tolist()]
    for b, start in enumerate(starts):
        count = 10 if first.before[b] else 0
        assert first.kept[b] == tuple(start + 1 + 2 * i for i in range(count))
        assert first.sources[b] == tuple((start + 2 * i,) for i in range(count))
    assert [second.sources[b] for b in (0, 3)] == [
        tuple((starts[b] + 1 + 4 * i,) for i in range(4)) for b in (0, 3)
    ]
    assert second.sources[2] == ()


def test_a_row_in_which_nothing_was_merged_has_empty_sources():
    model, inputs = make_llava(12), mixed_batch()
    # 40 are more than one picture has, and fewer than two have.
    with v2drop.dropping(model, f"2:{PATCHES // 2 + 10}t", method=Half()) as trace, torch.no_grad():
        model(**inputs)
    [event] = trace.events
    assert [sum(map(len, row)) > 0 for row in event.sources] == [False, True, False, False]
    assert [len(row) for row in event.sources] == list(event.after)


class Half(Method):
    """Merges the last token into the first where more than one picture is alive."""

    name, paper = "half", "none"

    def select(self, ctx):
        index = torch.arange(ctx.n_keep)
        if len(ctx.positions) <= PATCHES:
            return Kept(index)
        sources = torch.full((len(ctx.positions),), -1)
        sources[-1] = 0
        return Kept(index, ctx.signals.hidden()[index], sources)


def test_methods_that_only_drop_name_no_sources():
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "2:10t") as trace, torch.no_grad():
        model(**inputs)
    assert trace.events[0].sources is None


@pytest.mark.parametrize(
    "sources",
    [
        torch.zeros(3).long(),
        torch.zeros(PATCHES),
        torch.full((PATCHES,), 4),
        torch.full((PATCHES,), -2),
    ],
)
@pytest.mark.parametrize("merged", [True, False])
def test_sources_that_mean_nothing_are_refused(sources, merged):
    class Odd(Method):
        name, paper = "odd", "none"

        def select(self, ctx):
            index = torch.arange(4)
            return Kept(index, ctx.signals.hidden()[index] if merged else None, sources)

    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "2:4t", method=Odd()), pytest.raises(InstrumentError, match="Odd"):
        model(**inputs)


def test_the_report_holds_the_sources_and_is_read_back(tmp_path):
    drop = Drop(3, 4, 2, ((5, 7),), (((4,), ()),))
    arm = factory.dropped(drops=(drop,))
    path = tmp_path / "report.json"
    path.write_text(factory.report(arms=(factory.dense(), arm)).dumps(), encoding="utf-8")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["arms"][1]["drops"][0]["sources"] == [[[4], []]]
    assert read_report(path).arms[1].drops == (drop,)
    document["arms"][1]["drops"][0]["sources"] = [[[4]]]
    with pytest.raises(UsageError, match="sources"):
        validate(document)
