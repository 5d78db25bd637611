"""Write measured figures into the docs: python -m benchmarks.tables.

Every figure comes from a file in ``benchmarks/results/``, which the command named beside it
wrote; where there is none the page says so. A test fails when page and files differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.result import read, where

DOCS = Path(__file__).parents[1] / "docs"
MEASURING = DOCS / "measuring.md"
Table = Callable[[], Iterator[str]]


def aa_study() -> Iterator[str]:
    """Verdicts of real profiles with and without an injected slowdown."""
    study = read("aa-study.json")
    if study is None:
        yield "Not measured yet: `python -m benchmarks.aa_study` takes about ten minutes."
        return
    slowdown = f"{100 * study['slowdown']:g} %"
    kinds = {0.0: "dense against dense", study["slowdown"]: f"dense slowed by {slowdown}"}
    yield "| profiles | of | within noise | slower | faster | rounds | reached precision |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for share, name in kinds.items():
        found = [item for item in study["profiles"] if item["injected_slowdown"] == share]
        verdicts = [item["metrics"]["prefill"]["verdict"] for item in found]
        counts = [verdicts.count(word) for word in ("within noise", "slower", "faster")]
        rounds = _range([item["rounds"] for item in found], "{:d}")
        reached = _range([100 * item["reached_precision"] for item in found], "{:.2g}")
        cells = " | ".join(map(str, counts))
        yield f"| {name} | {len(found)} | {cells} | {rounds} | ±{reached} % |"
    yield ""
    yield f"Verdicts on the prefill, model `tiny`; {where(study)}"


def coverage() -> Iterator[str]:
    """Error rates of the statistics under made-up noise."""
    study = read("coverage.json")
    if study is None:
        yield "Not simulated yet: `python -m benchmarks.coverage`."
        return
    rounds = list(next(iter(study["noises"].values()))["missed"])
    fixed = " | ".join(f"{n} rounds" for n in rounds)
    slowdown = f"{100 * study['slowdown']:g} %"
    yield f"| noise of one trial | {fixed} | false claims | {slowdown} found | rounds |"
    yield "| --- |" + " ---: |" * (len(rounds) + 3)
    for name, cell in study["noises"].items():
        missed = " | ".join(f"{100 * cell['missed'][n]:.1f} %" for n in rounds)
        wrong, found = (
            f"{cell[key]} of {study['profiles']}" for key in ("false_claims", "detected")
        )
        yield f"| {name} | {missed} | {wrong} | {found} | {cell['median_rounds']} |"
    yield ""
    yield (
        f"{study['intervals']} intervals and twice {study['profiles']} profiles of at most "
        f"{study['most_rounds']} rounds a row; {where(study)}"
    )


PARTS: tuple[tuple[Path, str, Table], ...] = (
    (MEASURING, "aa-study", aa_study),
    (MEASURING, "coverage", coverage),
)


def _range(values: list[Any], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def filled(page: str, name: str, table: Table) -> str:
    """``page`` with the part between its markers made anew."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    return head + begin + "\n".join(table()).rstrip("\n") + "\n" + end + tail


def main() -> None:
    """Fill all pages."""
    for path, name, table in PARTS:
        path.write_text(filled(path.read_text(encoding="utf-8"), name, table), encoding="utf-8")


if __name__ == "__main__":
    main()
