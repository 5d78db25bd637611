"""Pages that are made from data agree with the data."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.tiny.readme import PARTS, SCORES, filled

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("path", "kind"), PARTS, ids=[kind for _, kind in PARTS])
def test_scores_in_the_pages_are_the_measured_ones(path, kind):
    page = path.read_text(encoding="utf-8")
    report = json.loads(SCORES.read_text(encoding="utf-8"))
    assert filled(page, report, kind) == page


@pytest.mark.parametrize(
    ("path", "name", "table"), tables.PARTS, ids=[name for _, name, _ in tables.PARTS]
)
def test_tables_in_the_pages_are_the_measured_ones(path, name, table):
    page = path.read_text(encoding="utf-8")
    assert tables.filled(page, name, table) == page


def test_scores_are_of_the_shipped_checkpoint():
    import hashlib

    from v2drop_cli.models.names import ASSETS

    report = json.loads(SCORES.read_text(encoding="utf-8"))
    weights = (ASSETS / "tiny" / "model.safetensors").read_bytes()
    assert report["checkpoint_sha256"] == hashlib.sha256(weights).hexdigest()


def test_scores_meet_the_bar():
    arms = {a["arm"]: a["types"] for a in json.loads(SCORES.read_text(encoding="utf-8"))["arms"]}
    dense = arms["dense"]
    assert dense["image: all"]["accuracy"] >= 0.90
    assert dense["video: all"]["accuracy"] >= 0.85
    assert dense["image: all"]["asked"] + dense["video: all"]["asked"] >= 2000
    for share in ("1/3", "2/9", "1/9"):
        assert {f"{method} {share}" for method in ("v2drop", "random", "uniform")} <= set(arms)


def test_links_in_the_pages_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "sample_media/README.md"]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_quickstart_is_two_lines_and_ci_runs_the_second():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert [block.count("\n") for block in blocks[:2]] == [1, 1]
    assert "constraints.txt" in blocks[0]
    assert "v2drop run --image sample_media/scene.png" in blocks[0]
    assert "pytest" in blocks[1]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extract = script[script.index("awk") : script.index("README.md)") + len("README.md")]
    found = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout == blocks[1], found.stderr


def test_the_library_example_runs(monkeypatch, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code, _ = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)  # the other: tests/processors
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    answer, kept = capsys.readouterr().out.splitlines()
    assert answer == "['1']"
    assert f"the answer of each row: {answer}" in code
    assert kept.startswith("((")


def test_library_example_names_are_public():
    import v2drop_cli

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"v2drop\.(\w+)\(", readme):
        assert name in v2drop_cli.__all__, name
