"""Batches over actors: in order, not all at once, each with one result whoever dies."""

from __future__ import annotations

import sys
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest

from tests.bench.fake_ray import FakeRay
from v2drop_cli.bench import ray_pool
from v2drop_cli.bench.arms import ArmOptions
from v2drop_cli.bench.asking import How
from v2drop_cli.bench.ray_pool import Model, Pool, pool
from v2drop_cli.errors import DeviceError, V2DropError
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.records.journal import RowResult


class Worker:
    def __init__(self, model):
        if model.name == "broken":
            raise ValueError("no such model")

    def ready(self):
        pass

    def ask(self, rows):
        return [RowResult(row.number, None, "said") for row in rows]


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    monkeypatch.setattr(ray_pool, "Worker", Worker)


def model(name="here", device="cpu"):
    return Model(name, LoadOptions(device=device), ArmOptions(), (), 4, How(None, 1, 1))


def rows(*numbers):
    return [SimpleNamespace(number=number, group="g") for number in numbers]


def test_results_come_in_the_order_of_the_batches_from_all_actors():
    ray = FakeRay()
    pool = Pool(ray, model(), 2)
    drawn = []

    def batches():
        for number in range(9):
            drawn.append(number)
            yield rows(2 * number, 2 * number + 1)

    found = pool.ask(batches())
    assert [one.row for one in next(found)] == [0, 1]
    assert (
        len(drawn) == 2 * 2 + 1
    )  # two for each actor, and no more than they have to do: the data may be endless
    assert [one.row for batch in found for one in batch] == list(range(2, 18))
    assert sorted({actor for actor, _ in ray.asked}) == [0, 1]
    assert len(ray.asked) == 9
    by_first = [asked for actor, asked in ray.asked if actor == ray.asked[0][0]]
    assert len(by_first) in (4, 5)


def test_an_actor_is_started_anew_and_asked_again_but_not_for_ever():
    ray = FakeRay()
    Pool(ray, model(), 1)
    assert ray.options == [
        {"num_cpus": 1, "num_gpus": 0, "max_restarts": -1, "max_task_retries": 2}
    ]
    Pool(FakeRay({"GPU": 1}), model(device="cuda"), 1)


def test_of_a_batch_that_kills_only_the_row_that_does_is_broken():
    ray = FakeRay(kills=[3])
    pool = Pool(ray, model(), 2)
    found = [one for batch in pool.ask([rows(0, 1), rows(2, 3, 4), rows(5)]) for one in batch]
    assert [one.row for one in found] == [0, 1, 2, 3, 4, 5]
    assert [one.row for one in found if one.broken] == [3]
    assert found[3].broken == "3 workers died of it: the actor died"
    assert found[3].group == "g"
    assert pool._load == [0, 0]


def test_a_model_that_no_worker_can_load_ends_it():
    with pytest.raises(V2DropError, match=r"cannot load broken: ValueError: no such model$"):
        Pool(FakeRay(), model("broken"), 2)


@pytest.mark.parametrize(
    ("device", "there", "words", "hint"),
    [
        ("cpu", {"CPU": 2.0}, "3 workers of Ray, one CPU each, and there are 2", "--workers 2"),
        ("cuda:0", {"CPU": 9, "GPU": 1}, "one GPU each, and there are 1", "--workers 1"),
        ("cuda", {"CPU": 9}, "there are 0", "--device cpu"),
    ],
)
def test_a_cluster_that_is_too_small_is_said_so(device, there, words, hint):
    with pytest.raises(DeviceError) as refused:
        Pool(FakeRay(there), model(device=device), 3)
    assert words in refused.value.message
    assert refused.value.hint == hint


def test_the_cluster_is_left_whatever_happens(monkeypatch):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pool(model(), 2) as found:
        assert isinstance(found, Pool)
        assert ray.ended == 0
    assert ray.ended == 1
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    assert ray.options[0] == quiet
    with pytest.raises(DeviceError), pool(model(), 3):
        pass
    assert ray.ended == 2


def test_what_actors_share_does_not_change():
    with pytest.raises(FrozenInstanceError):
        model().name = "another"
