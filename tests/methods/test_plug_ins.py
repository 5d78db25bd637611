"""Methods that other packages bring: found by name, never imported before, one clear error."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

import v2drop_cli as v2drop
from tests.tiny_llava import make_llava, one_prompt
from v2drop_cli.commands.models import catalogue, entry
from v2drop_cli.errors import PlugInError, UnknownNameError
from v2drop_cli.methods.registry import METHODS, check_method, get_method, known_methods

SOURCE = """
from dataclasses import dataclass
from v2drop_cli.methods.base import Method

@dataclass(frozen=True)
class Nearest(Method):
    name = "nearest"
    paper = "a test"
    start: int = 0

    def score(self, ctx):
        return -(ctx.positions - ctx.positions[0] - self.start).abs().float()

class Shadow(Method):
    name = "v2drop"
"""
BROKEN = "raise RuntimeError('old\\nlines')"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package: ``package(lines of its entry points, source)``."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(points, source=SOURCE, name="toy-methods", module="toy_methods"):
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        lines = "\n".join(["[v2drop.methods]", *points])
        (info / "entry_points.txt").write_text(lines, encoding="utf-8")
        importlib.invalidate_caches()

    yield install
    for module in ("toy_methods", "others"):
        sys.modules.pop(module, None)


def test_the_method_of_a_package_is_found_by_name_and_drops(package):
    package(["nearest = toy_methods:Nearest"])
    assert known_methods() == [*METHODS, "nearest"]
    check_method("nearest")
    assert "toy_methods" not in sys.modules
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "1:1t", method="nearest:start=3") as trace, torch.no_grad():
        model(**inputs)
    first = inputs["input_ids"][0].tolist().index(3)
    assert trace.events[0].kept == ((first + 3,),)


def test_a_near_miss_is_told_the_name_that_a_package_added(package):
    package(["nearest = toy_methods:Nearest"])
    for ask in (get_method, check_method):
        with pytest.raises(UnknownNameError) as caught:
            ask("nearset")
        assert "did you mean nearest" in caught.value.hint


def test_a_built_in_name_goes_on_meaning_the_built_in_method(package):
    package(["v2drop = toy_methods:Shadow", "nearest = toy_methods:Nearest"])
    assert known_methods() == [*METHODS, "nearest"]
    assert type(get_method("v2drop")).__module__ == "v2drop_cli.methods.v2drop"
    assert "toy_methods" not in sys.modules


@pytest.mark.parametrize(
    ("point", "source", "said"),
    [
        ("nearest = toy_methods:Nearest", BROKEN, "RuntimeError: old"),
        ("nearest = toy_methods:Missing", SOURCE, "AttributeError"),
        ("nearest = not_there:Nearest", SOURCE, "No module named 'not_there'"),
        ("nearest = toy_methods:dataclass", SOURCE, "no subclass"),
        ("close = toy_methods:Nearest", SOURCE, "calls itself 'nearest'"),
    ],
)
def test_a_broken_one_is_one_line_with_its_package(package, point, source, said):
    package([point], source)
    with pytest.raises(PlugInError) as caught:
        get_method(point.split()[0])
    message = caught.value.message
    assert "toy-methods" in message
    assert said in message
    assert "\n" not in message
    assert caught.value.hint
    get_method("v2drop")  # others are not in its way


def test_two_packages_with_one_name_are_refused(package):
    package(["nearest = toy_methods:Nearest"])
    package(["nearest = others:Nearest"], name="other-methods", module="others")
    with pytest.raises(PlugInError, match="other-methods and toy-methods"):
        get_method("nearest")


def test_the_method_of_the_page_works_as_printed(package):
    page = (Path(__file__).parents[2] / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
    [source] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    package(["longest = toy_methods:Longest"], source)
    model, inputs = make_llava(12), one_prompt()
    with v2drop.dropping(model, "3:0.5", method="longest:order=1") as trace, torch.no_grad():
        model(**inputs)
    assert [event.after for event in trace.events] == [(18,)]


def test_models_lists_them_and_a_broken_one_hinders_nobody(package):
    package(["nearest = toy_methods:Nearest", "broken = others:Nothing"])
    Path(sys.path[0], "others.py").write_text(BROKEN, encoding="utf-8")
    rows = {row["method"]: row["paper"] for row in catalogue()["methods"]}
    assert list(rows) == [*METHODS, "broken", "nearest"]
    assert (rows["nearest"], rows["broken"]) == ("a test", None)
    assert [row["method"] for row in entry("nearest")["methods"]] == ["nearest"]
