"""``Method.attach``: a method brings what the decoder lacks, once a context and before it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

import v2drop_cli as v2drop
from tests.methods.toys import First
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.bench.arms import Arm
from v2drop_cli.errors import InstrumentError
from v2drop_cli.methods.base import EMBEDDINGS, Method
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.registry import family_for
from v2drop_cli.schedule import Schedule


@dataclass(frozen=True)
class Grown(Method):
    """What `Brings.attach` returns; it may look further than the method itself."""

    name, paper = "grown", "a test"
    needs = frozenset({EMBEDDINGS})

    def score(self, ctx):
        return -ctx.signals.embeddings()[ctx.positions, 0]


@dataclass(frozen=True)
class Brings(Method):
    """Notes what it is attached to."""

    name, paper = "brings", "a test"
    to: list[Any] = field(default_factory=list)
    becomes: Any = Grown()

    def attach(self, model, processor):
        self.to.append((model, processor))
        return self.becomes


def loaded(model):
    family = family_for(model.config)
    return LoadedModel(model, "words", family, torch.device("cpu"), model.dtype, "", None, "dummy")


def test_what_it_returns_is_asked_and_prepared_for():
    model, method = make_llava(6), Brings()
    with v2drop.dropping(model, "3:2t", method=method) as trace, torch.no_grad():
        assert method.to == [(model, None)]  # when the context opens, not when the model runs
        model(**one_prompt())
        model(**one_prompt())
    assert len(method.to) == 1
    assert [event.after for event in trace.events] == [(2,), (2,)]


def test_a_loaded_model_brings_its_processor():
    target, method = loaded(make_llava(6)), Brings()
    with v2drop.dropping(target, "3:2t", method=method):
        pass
    assert method.to == [(target.model, "words")]


def test_an_arm_of_a_benchmark_does_too(monkeypatch):
    seen = []
    monkeypatch.setattr(First, "attach", lambda self, *given: seen.append(given) or self)
    from tests.methods.toys import registered

    registered(monkeypatch, First)
    target = loaded(make_llava(6))
    with Arm("first", "first", Schedule.parse("3:2t")).applied(target):
        pass
    assert seen == [(target.model, "words")]


def test_a_method_that_brings_nothing_is_itself():
    method = First()
    assert method.attach(None, None) is method
    assert method.caveats() == ()


def test_something_else_than_a_method_is_one_line():
    with (
        pytest.raises(InstrumentError, match="attach returned NoneType") as caught,
        v2drop.dropping(make_llava(6), "3:2t", method=Brings(becomes=None)),
    ):
        pass
    assert caught.value.hint
