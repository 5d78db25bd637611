"""Which of several processes this is, by what launchers put in the environment."""

from __future__ import annotations

import pytest

from v2drop_cli.errors import UsageError
from v2drop_cli.processes import Processes


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Processes()),
        ({"RANK": "3", "LOCAL_RANK": "x"}, Processes()),  # no launcher sets a rank alone
        ({"ACCELERATE_MIXED_PRECISION": "no"}, Processes(launched=True)),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Processes(0, 1, 0, True)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Processes(5, 8, 1, True)),
        ({"RANK": "5", "WORLD_SIZE": "8"}, Processes(5, 8, 5, True)),
    ],
)
def test_what_launchers_say(environment, expected):
    assert Processes.here(environment) == expected


def test_the_first_of_several():
    assert [Processes(rank, 2).first for rank in (0, 1)] == [True, False]
    assert [Processes(0, count).several for count in (1, 2)] == [False, True]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK=2 with WORLD_SIZE=2"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "RANK=0 with WORLD_SIZE=0"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE without RANK"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "RANK='-1'"),
        ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE='two'"),
        ({"RANK": "0", "WORLD_SIZE": ""}, "WORLD_SIZE=''"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "²"}, "LOCAL_RANK="),
    ],
)
def test_what_cannot_be_is_refused(environment, said):
    with pytest.raises(UsageError) as refused:
        Processes.here(environment)
    assert said in refused.value.message


def test_the_environment_of_this_process(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "3", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert Processes.here() == Processes(1, 3, 0, True)
