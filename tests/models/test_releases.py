"""One pair of bounds: the package's, pyproject's, and what CI and `doctor` say of a release."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from v2drop_cli.commands import doctor
from v2drop_cli.models.releases import NEWEST, OLDEST, release, untested

ROOT = Path(__file__).parents[2]


def test_pyproject_bounds_what_was_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [line for line in project["dependencies"] if line.startswith("transformers")]
    above = (NEWEST[0], NEWEST[1] + 1)
    assert wanted == f"transformers>={OLDEST[0]}.{OLDEST[1]},<{above[0]}.{above[1]}"


def test_the_tested_set_and_the_oldest_of_ci_are_inside():
    (pinned,) = [
        line.partition("==")[2]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line.startswith("transformers==")
    ]
    assert OLDEST <= release(pinned) <= NEWEST
    assert f"transformers=={OLDEST[0]}.{OLDEST[1]}.0 " in (ROOT / ".ci/oldest").read_text()


@pytest.mark.parametrize(
    ("version", "ok"),
    [("5.16.1", False), ("missing", False), ("5.17.0", True), ("5.24.7", True), ("5.25.0", None)],
)
def test_doctor_says_whether_a_release_is_tested(version, ok):
    finding = doctor._transformers(version)
    assert finding.ok is ok
    assert version in finding.detail
    assert (finding.fix is not None) == (ok is False)
    assert (untested(version) is None) == (ok is True)
