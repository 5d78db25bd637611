"""The head of a result file."""

from __future__ import annotations

import sys

import pytest

from benchmarks.result import command


@pytest.mark.parametrize("output", [[], ["--output", "/some/where.json"], ["--output=x.json"]])
def test_a_command_is_what_was_typed_without_where_it_went(output, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--rounds", "3", *output, "--small"])
    assert command().endswith(" --rounds 3 --small")
    assert "output" not in command()
