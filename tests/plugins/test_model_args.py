"""What lmms-eval makes of its text, read as a model and one way of dropping."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import ScheduleError, UnknownNameError, UsageError
from v2drop_cli.plugins.model_args import ModelArgs


def test_what_is_left_out_is_as_on_the_command_line():
    asked = ModelArgs.read({})
    assert (asked.pretrained, asked.frames, asked.batch_size) == ("tiny", 8, 1)
    assert asked.arms.methods == ("v2drop",)
    assert asked.arms.schedules.schedules == ()
    assert (asked.load.device, asked.load.weights, asked.load.seed) == ("auto", "trained", 0)


def test_semicolons_are_commas_in_schedules_layers_ratios_and_methods():
    asked = ModelArgs.read(
        {"schedule": "3:0.5;17:0.3", "method": "dart:image_pivots=10;text_pivots=5"}
    )
    assert asked.arms.schedules.schedules == ("3:0.5,17:0.3",)
    assert asked.arms.methods == ("dart:image_pivots=10,text_pivots=5",)
    asked = ModelArgs.read({"layers": "2;4", "ratios": "0.5;0.25"})
    assert (asked.arms.schedules.layers, asked.arms.schedules.ratios) == ("2,4", ("0.5,0.25",))
    assert ModelArgs.read({"preset": "paper-64"}).arms.schedules.presets == ("paper-64",)


def test_what_lmms_eval_made_a_number_is_read_as_it_was_typed():
    asked = ModelArgs.read({"budget": 192, "layers": 3, "batch_size": "4", "seed": 7})
    assert asked.arms.schedules.budgets == ("192",)
    assert asked.arms.schedules.layers == "3"
    assert (asked.batch_size, asked.arms.seed, asked.load.seed) == (4, 7, 7)
    assert ModelArgs.read({"ratios": 0.5}).arms.schedules.ratios == ("0.5",)


def test_names_that_other_models_of_lmms_eval_have_mean_the_same():
    asked = ModelArgs.read({"model": "llava-1.5-7b", "max_frames_num": 16, "max_batch_size": 8})
    assert (asked.pretrained, asked.frames, asked.batch_size) == ("llava-1.5-7b", 16, 1)


def test_how_to_load():
    given = {"device": "cpu", "dtype": "float32", "trust_remote_code": True, "revision": "main"}
    load = ModelArgs.read({**given, "attn_implementation": None}).load
    assert (load.device, load.dtype, load.trust_remote_code) == ("cpu", "float32", True)
    assert (load.revision, load.attn_implementation) == ("main", None)


def test_dense_has_no_arms():
    assert ModelArgs.read({"method": "dense"}).arms is None


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"shedule": "3:0.5"}, UnknownNameError, "shedule"),
        ({"accepts": "x"}, UnknownNameError, "accepts"),
        ({"schedule": "3:0.5", "budget": "33%"}, UsageError, "schedule and budget"),
        ({"method": "dense", "budget": "33%"}, UsageError, "so budget means nothing"),
        ({"method": "dense", "layers": 3}, UsageError, "so layers means nothing"),
        ({"method": "all"}, UsageError, "several methods"),
        ({"method": "nonesuch"}, UnknownNameError, "nonesuch"),
        ({"schedule": "3;0.5"}, ScheduleError, "3,0.5"),
        ({"revision": 1234567}, UsageError, "1234567"),
        ({"allow_pickle": "yes"}, UsageError, "neither true nor false"),
        ({"batch_size": "auto"}, UsageError, "batch_size=auto"),
        ({"frames": 0}, UsageError, "from 1 on"),
        ({"seed": -1}, UsageError, "from 0 on"),
        ({"dtype": "float31"}, UsageError, "float31"),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused_by_name(given, error, words):
    with pytest.raises(error) as refused:
        ModelArgs.read(given)
    assert words in refused.value.message
    assert refused.value.hint
