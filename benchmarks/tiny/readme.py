"""Write the embedded model's scores into the README and docs: python -m benchmarks.tiny.readme.

Every figure comes from ``benchmarks/results/tiny-scores.json``, which
``python -m benchmarks.tiny.score`` wrote; a test fails when page and file differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCORES = ROOT / "benchmarks" / "results" / "tiny-scores.json"
TINY = ROOT / "docs" / "tiny.md"
PARTS = ((ROOT / "README.md", "summary"), (TINY, "recipe"), (TINY, "details"))
COMMAND = "python -m benchmarks.tiny.score --output benchmarks/results/tiny-scores.json"


def percent(cell: dict[str, float]) -> str:
    """Accuracy with its 95 % Wilson interval: ``93.1 (91.8 to 94.2)``."""
    low, high = 100 * cell["low"], 100 * cell["high"]
    return f"{100 * cell['accuracy']:.1f} ({low:.1f} to {high:.1f})"


def origin(report: dict[str, Any]) -> str:
    """Command, device and date of the figures."""
    packages = ", ".join(f"{name} {version}" for name, version in report["packages"].items())
    return (
        f"Per cent right, 95 % Wilson intervals; `{COMMAND}` on {report['device']}, "
        f"{report['date']} ({packages}); checkpoint sha256 "
        f"`{report['checkpoint_sha256'][:12]}…`."
    )


def summary(report: dict[str, Any]) -> Iterator[str]:
    """Arms down; images, video and both across. Descriptions are told apart in the details."""
    asked = report["arms"][0]["types"]
    images, video = asked["image: all"]["asked"], asked["video: all"]["asked"]
    yield f"| share of vision tokens | method | images ({images}) | video ({video}) |"
    yield "| --- | --- | ---: | ---: |"
    for arm in report["arms"]:
        method, _, share = arm["arm"].partition(" ")
        cells = (percent(arm["types"][f"{media}: all"]) for media in ("image", "video"))
        yield f"| {share or 'all'} | {method} | {' | '.join(cells)} |"
    yield ""
    yield origin(report)


def details(report: dict[str, Any]) -> Iterator[str]:
    """One table an arm would be long: question types down, one row of figures per type and arm."""
    for arm in report["arms"]:
        schedules = ", ".join(
            f"{media} `{text}`" for media, text in arm["schedules"].items() if text
        )
        yield f"### {arm['arm']}"
        yield ""
        if schedules:
            yield f"Schedules: {schedules}."
            yield ""
        yield "| questions | asked | right |"
        yield "| --- | ---: | ---: |"
        for name, cell in arm["types"].items():
            yield f"| {name} | {cell['asked']} | {percent(cell)} |"
        yield ""
    yield origin(report)


def recipe(report: dict[str, Any]) -> Iterator[str]:
    """The stages, as the training script holds them."""
    from benchmarks.tiny.train import STAGES

    yield "| stage | what | steps | batch | peak learning rate |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for stage in STAGES:
        yield f"| {stage.name} | {stage.note} | {stage.steps} | {stage.batch} | {stage.lr:g} |"


def filled(page: str, report: dict[str, Any], kind: str) -> str:
    """``page`` with the part between its markers made anew."""
    begin, end = f"<!-- tiny-{kind}:begin -->\n", f"<!-- tiny-{kind}:end -->"
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    lines = {"summary": summary, "recipe": recipe, "details": details}[kind](report)
    return head + begin + "\n".join(lines).rstrip("\n") + "\n" + end + tail


def main() -> None:
    """Fill both pages."""
    report = json.loads(SCORES.read_text(encoding="utf-8"))
    for path, kind in PARTS:
        path.write_text(filled(path.read_text(encoding="utf-8"), report, kind), encoding="utf-8")


if __name__ == "__main__":
    main()
