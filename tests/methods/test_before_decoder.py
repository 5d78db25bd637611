"""What methods before the decoder share: one drop, a budget that is its count, early refusals."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from tests.methods.towers import Row, made_up, selected
from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.methods.base import Method
from v2drop_cli.methods.before_decoder import BeforeDecoder, ByPicture
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.methods.relevance import ByQuestion
from v2drop_cli.methods.shape import Shape
from v2drop_cli.schedule import Drop

SHAPE = Shape(n_layers=32, n_vision=576)


def all_of(kind):
    return {name: m for name in METHODS if isinstance(m := get_method(name), kind)}


def test_every_registered_method_before_the_decoder_is_one_of_these():
    own = {
        name
        for name in METHODS
        if [drop.layer for drop in get_method(name).schedule(None, SHAPE).drops] == [0]
    }
    assert own == set(all_of(BeforeDecoder))
    assert len(own) > 8


@pytest.mark.parametrize("name", all_of(BeforeDecoder))
def test_a_budget_is_the_count_of_the_only_drop(name):
    method = get_method(name)
    assert method.schedule(41.5, SHAPE).drops == (Drop(0, count=42),)
    assert len(method.schedule(None, Shape(32)).drops) == 1


@dataclass(frozen=True)
class Brightest(ByPicture):
    """The tokens of largest first channel, the weight deciding among equals."""

    name: ClassVar[str] = "brightest"

    def weights(self, attention):
        return attention.sum(0)

    def pick(self, weights, states, count):
        return torch.argsort(states[:, 0] + weights, descending=True)[:count]


def test_each_picture_is_picked_from_by_itself():
    pictures = made_up([6, 9])
    kept = selected(Brightest(), Row(pictures), 5).index.tolist()
    first, wanted = 0, []
    for picture, count in zip(pictures, (3, 2), strict=True):
        score = picture.features[:, 0] + picture.attention[-2].sum(0)
        wanted += [first + int(i) for i in (-score).argsort()[:count]]
        first += len(score)
    assert kept == wanted


def test_a_class_that_says_neither_is_told_what_is_missing():
    row = Row(made_up([6]))
    with pytest.raises(NotImplementedError, match="weighs"):
        selected(ByPicture(), row, 2)
    with pytest.raises(NotImplementedError, match="picks"):
        ByPicture().pick(torch.zeros(2), torch.zeros(2, 3), 1)


# Who reads the question -----------------------------------------------------------------------


@pytest.mark.parametrize("name", all_of(ByQuestion))
def test_a_checkpoint_that_is_nowhere_is_refused_with_the_name(name, tmp_path):
    with pytest.raises(UsageError, match="no such directory") as caught:
        get_method(f"{name}:text={tmp_path / 'gone'}")
    assert caught.value.hint


@pytest.mark.parametrize("name", all_of(ByQuestion))
def test_a_model_that_sees_with_something_else_is_refused_by_its_configuration(name, tmp_path):
    siglip = SimpleNamespace(vision_config=SimpleNamespace(model_type="siglip_vision_model"))
    clip = SimpleNamespace(vision_config=SimpleNamespace(model_type="clip_vision_model"))
    asking = get_method(f"{name}:text={tmp_path}")
    asking.check_model(clip)
    get_method(name).check_model(siglip)
    for method in (asking, get_method(f"{name}:text={tmp_path}+random")):
        for config in (siglip, SimpleNamespace()):
            with pytest.raises(UnsupportedModelError, match=f"text={tmp_path}") as caught:
                method.check_model(config)
            assert caught.value.hint


def test_most_methods_refuse_nothing_early():
    assert Method().check_model(object()) is None
    assert Method().check_media(frozenset()) is None
