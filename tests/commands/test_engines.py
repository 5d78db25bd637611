"""What Ray's actors answer is what one process answers."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from tests.bench.fake_ray import FakeRay
from tests.commands.test_evaluate import asked, counted, loaded, options, questions, timeless
from v2drop_cli.bench import asking, ray_pool
from v2drop_cli.commands import evaluate as evaluating
from v2drop_cli.commands.engines import Ray
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.records.journal import Journal

__all__ = ["loaded", "questions"]


@pytest.fixture
def ray(monkeypatch, loaded):
    monkeypatch.setattr(asking, "answer", counted)
    monkeypatch.setattr(evaluating, "_warm_up", lambda *args: None)
    monkeypatch.setattr(ray_pool, "load", lambda name, options: loaded)
    made = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def test_the_table_is_the_one_of_one_process(ray, loaded, questions, tmp_path):
    given = options((), ("v2drop", "random"), ("40%",), batch_size=2)
    whole = asked(loaded, questions, given)
    over = dataclasses.replace(given, ray=Ray(2, LoadOptions(device="cpu")))
    path = tmp_path / "rows.jsonl"
    assert timeless(asked(loaded, questions, over, Journal(path)).to_json()) == timeless(
        whole.to_json()
    )
    assert ray.ended == 1
    assert [numbers for _, numbers in ray.asked] == [[0, 1], [2, 3], [4, 5]]
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join(lines[:4]) + b"\n")  # killed after three rows
    again = asked(loaded, questions, over, Journal(path, resume=True))
    assert timeless(again.to_json()) == timeless(whole.to_json())
    assert [numbers for _, numbers in ray.asked[3:]] == [[2, 3], [4, 5]]
