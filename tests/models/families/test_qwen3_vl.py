"""What is particular to Qwen3-VL: DeepStack's layers."""

from __future__ import annotations

import pytest

import v2drop_cli as v2drop
from tests.families import CASES
from v2drop_cli.errors import ScheduleError
from v2drop_cli.models.registry import get_family

NAMES = ["qwen3_vl", "qwen3_vl_moe", "cosmos3_omni"]


@pytest.mark.parametrize("name", NAMES)
def test_no_drop_before_deepstack_has_added_everything(name):
    model = CASES[name].make("sdpa")
    assert get_family(CASES[name].family).first_droppable_layer(model.config) == 3
    said = r"before layer 3 \(asked: 2\): DeepStack"
    with pytest.raises(ScheduleError, match=said), v2drop.dropping(model, "2:0.5"):
        pass


def test_a_tower_without_deepstack_drops_from_layer_0():
    config = CASES["qwen3_vl"].make("sdpa").config
    config.vision_config.deepstack_visual_indexes = []
    assert get_family("qwen3_vl").first_droppable_layer(config) == 0
