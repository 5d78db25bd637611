"""Write measured figures into the docs: python -m benchmarks.tables.

Every figure comes from a file in ``benchmarks/results/``, which the command named beside it
wrote; where there is none the page says so. A test fails when page and files differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import fight_tables
from benchmarks.mutation.table import table as mutation
from benchmarks.result import read, where
from benchmarks.tiny import tune_study, variant_tables
from v2drop_cli.judge.ruler import ratio_verdict
from v2drop_cli.records import Ratio
from v2drop_cli.records.verdicts import FASTER, SLOWER, UNCLEAR, WITHIN_NOISE
from v2drop_cli.units import format_bytes, format_seconds

DOCS = Path(__file__).parents[1] / "docs"
MEASURING = DOCS / "measuring.md"
BENCHMARKS = DOCS / "benchmarks.md"
TESTING = DOCS / "testing.md"
VARIANTS = DOCS / "variants.md"
TUNE = DOCS / "tune.md"
# The verdicts that a profile can come to about a time.
_STUDIED = (WITHIN_NOISE, UNCLEAR, SLOWER, FASTER)
Table = Callable[[], Iterator[str]]


def aa_study() -> Iterator[str]:
    """Verdicts of real profiles with and without an injected slowdown."""
    found = map(read, ("aa-study.json", "aa-study-18s.json"))
    studies = [study for study in found if study is not None]
    if not studies:
        yield "Not measured yet: `python -m benchmarks.aa_study` takes about half an hour."
        return
    head = ("profiles", "of", *_STUDIED, "rounds", "reached precision")
    yield f"| {' | '.join(head)} |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for study in studies:
        yield from _study_rows(study)
    for number, study in enumerate(studies):
        yield ""
        lines = "first" if number == 0 else "other"
        yield f"Verdicts on the prefill, model `tiny`; the {lines} two lines: {where(study)}"


def _study_rows(study: dict[str, Any]) -> Iterator[str]:
    slowdown = f"{100 * study['slowdown']:g} %"
    kinds = {0.0: "dense against dense", study["slowdown"]: f"dense slowed by {slowdown}"}
    for share, name in kinds.items():
        found = [item for item in study["profiles"] if item["injected_slowdown"] == share]
        verdicts = [_verdict(item["metrics"]["prefill"]) for item in found]
        counts = [verdicts.count(word) for word in _STUDIED]
        rounds = _range([item["rounds"] for item in found], "{:d}")
        known = [item["reached_precision"] for item in found]
        reached = _range([100 * share for share in known if share is not None], "{:.2g}")
        cells = " | ".join(map(str, counts))
        yield f"| {name} | {len(found)} | {cells} | {rounds} | ±{reached} % |"


def _verdict(prefill: dict[str, Any]) -> str:
    """What today's rule says of the ratio and the null that were measured then."""
    (low, high), null = prefill["ratio"]["ci95"], prefill["null"]["ci95"]
    ratio = Ratio(prefill["ratio"]["median"], (low, high))
    return ratio_verdict(ratio, (null[0], null[1]))[0]


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


def overhead() -> Iterator[str]:
    """What the tool costs and realises, against the goals, and what it did before a redesign."""
    study, before = read("overhead.json"), read("overhead-before-rooms.json")
    if study is None:
        yield "Not measured yet: `python -m benchmarks.overhead` takes about twenty minutes."
        return
    earlier = {} if before is None else {row[0]: row[1] for row in _overhead_rows(before)}
    yield "| figure | median, 95 % interval | before the redesign | goal | whole interval within |"
    yield "| --- | ---: | ---: | --- | --- |"
    for name, figure, least, most, ratio in _overhead_rows(study):
        met = f"{_goal(least, most)} | {_met(ratio, least, most)}"
        yield f"| {name} | {figure} | {earlier.get(name, 'n/a')} | {met} |"
    yield ""
    yield _overhead_source(study)
    if before is not None:
        yield ""
        yield f"Before the redesign: {_overhead_source(before)}"


OverheadRow = tuple[str, str, float | None, float | None, dict[str, Any] | None]


def _overhead_rows(study: dict[str, Any]) -> Iterator[OverheadRow]:
    """Name, figure, the goal's two ends, and what is held against it."""
    found, bare = study["dropping"], study["harness"]
    scoring = found["scoring_gathering_share_of_dense"]
    price, realised = found["v2drop_less_random_share_of_dense"], found["realised_over_ideal"]
    loop, around = bare["machinery_over_bare"], bare.get("share_around_forward")
    yield "scoring and gathering, share of dense prefill", _share(scoring), 0.0, 0.005, scoring
    yield "v2drop less random, share of dense prefill", _share(price), None, None, price
    yield "prefill speed-up, measured", _interval(found["prefill_speedup"]), None, None, None
    yield "prefill speed-up, ideal", f"{found['ideal_prefill_speedup']:.2f}", None, None, None
    yield "realised over ideal", _interval(realised), 0.9, None, realised
    yield "`profile`'s dense answer over a bare loop", _interval(loop, 3), 0.99, 1.01, loop
    if around is not None:
        name = "of `profile`'s dense answer, time around the forward"
        yield name, _share(around), 0.0, 0.01, around


def _overhead_source(study: dict[str, Any]) -> str:
    found, bare = study["dropping"], study["harness"]
    return (
        f"{found['vision_tokens']} vision tokens of {found['prompt_tokens']}, schedule "
        f"`{found['schedule']}` (layer average {found['layer_average_vision_tokens']:.0f}), "
        f"{study['decoder_parameters'] / 1e9:.2f}B parameters, {study['dtype']}, "
        f"{study['attention']}, {found['rounds']} rounds; the bare loop with "
        f"{bare['vision_tokens']} vision tokens, {bare['rounds']} rounds; {where(study)}"
    )


def _goal(least: float | None, most: float | None) -> str:
    """``0.9 or more``, ``0.99 to 1.01``, ``at most 0.005``; empty for none."""
    if least is None:
        return ""
    if most is None:
        return f"{least:g} or more"
    return f"{least:g} to {most:g}" if least else f"at most {100 * most:g} %"


def _met(ratio: dict[str, Any] | None, least: float | None, most: float | None) -> str:
    """Whether the interval lies within the goal: yes, no, or open if it crosses a bound."""
    if least is None or ratio is None:
        return ""
    low, high = ratio["ci95"] or (-math.inf, math.inf)
    ends = math.inf if most is None else most
    if least <= low and high <= ends:
        return "yes"
    return "no" if high < least or low > ends else "open"


# The exit code of a measurement that is not to be used.
_INVALID = 4
NOT_ON_A_GPU = "Not measured on a GPU yet."


def gpu_models() -> Iterator[str]:
    """Profiles at dummy weights on a GPU."""
    study = _gpu()
    if study is None:
        yield NOT_ON_A_GPU
        return
    yield "| model | arm | vision tokens, layer average | prefill | decode | peak memory |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for name, part in study["parts"].items():
        if "arms" not in part.get("result", {}):
            continue
        if part["status"] != "ok":
            yield f"| {name} | {_why(part)} | | | | |"
            continue
        found = {item["arm"]: item for item in part["result"]["comparisons"]}
        for arm in part["result"]["arms"]:
            ratios = found.get(arm["label"], {})
            cells = [
                "" if ratios.get(key) is None else _interval(ratios[key])
                for key in ("prefill_speedup", "decode_speedup")
            ]
            peak = ratios.get("peak_memory_ratio")
            average = f"{arm['layer_average_vision_tokens']:.1f}"
            cells += ["" if peak is None else f"{peak:.2f}"]
            yield f"| {name} | {arm['label']} | {average} | {' | '.join(cells)} |"
    yield ""
    yield f"Ratios, dense over the arm, 95 % intervals; dummy weights; {where(study)}"


def gpu_oracle() -> Iterator[str]:
    """Dropping against the masked oracle on a GPU."""
    study = _gpu()
    if study is None:
        yield NOT_ON_A_GPU
        return
    cells = study["parts"].get("oracle", {}).get("result", {}).get("cells")
    if not cells:
        yield _missing(study, "oracle")
        return
    yield "| dtype | attention | comparisons | as the oracle | worst error | allowed there |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for kind in sorted({(cell["dtype"], cell["attention"]) for cell in cells}):
        group = [cell for cell in cells if (cell["dtype"], cell["attention"]) == kind]
        known = [cell for cell in group if cell["dropped_error"] is not None]
        worst = max(known, key=lambda cell: cell["dropped_error"], default=None)
        figures = "n/a | n/a"
        if worst is not None:
            figures = f"{worst['dropped_error']:.2g} | {worst['allowed']:.2g}"
        good = sum(cell["ok"] is True for cell in group)
        yield f"| {kind[0]} | {kind[1]} | {len(group)} | {good} | {figures} |"
    wanted = study["parts"]["oracle"]["result"].get("wanted")
    yield ""
    yield f"{len(cells)} of {wanted} combinations were asked before time ended; {where(study)}"


def gpu_memory() -> Iterator[str]:
    """Peak memory with and without logits of all tokens."""
    study = _gpu()
    if study is None:
        yield NOT_ON_A_GPU
        return
    found = study["parts"].get("peak memory", {}).get("result")
    if not found:
        yield _missing(study, "peak memory")
        return
    yield "| prefill | logits | peak over the weights |"
    yield "| --- | ---: | ---: |"
    for name, way in found["ways"].items():
        over = format_bytes(way["peak_over_weights_bytes"])
        yield f"| {name} | {format_bytes(way['logits_bytes'])} | {over} |"
    yield ""
    prompt = f"{found['prompt_tokens']} prompt tokens"
    yield f"{found['model']}, {prompt}, {found['dtype']}; {where(study)}"


def optimum() -> Iterator[str]:
    """Another tool's figures for the same dense model."""
    gpu = _gpu()
    part = gpu["parts"].get("optimum-benchmark", {}) if gpu else {}
    found = part.get("result") or read("optimum.json")
    if found is None:
        yield "Not measured yet: `python -m benchmarks.optimum` needs optimum-benchmark."
        return
    mine, other, ratios = found["v2drop"], found["optimum_benchmark"], found["theirs_over_ours"]
    yield f"| median | v2drop | optimum-benchmark {other['version']} | theirs over ours |"
    yield "| --- | ---: | ---: | ---: |"
    for key, name in (("first_token_s", "first token"), ("decode_s_per_token", "later token")):
        times = (format_seconds(statistics.median(tool[key])) for tool in (mine, other))
        yield f"| {name} | {' | '.join(times)} | {ratios[key]:.3f} |"
    counts = f"{len(mine['first_token_s'])} and {len(other['first_token_s'])} generations"
    yield ""
    yield (
        f"Qwen2-VL-2B, random weights, {mine['vision_tokens']} vision tokens of "
        f"{mine['prompt_tokens']}, {found['dtype']}, {found['attention']}, {counts}; {where(found)}"
    )


def _missing(study: dict[str, Any], part: str) -> str:
    return f"Not measured: {_why(study['parts'].get(part, {}))}; {where(study)}"


def _why(part: dict[str, Any]) -> str:
    """Why a part has no figures that may be quoted."""
    if part.get("exit_code") == _INVALID:
        return "the GPU was slowed down"
    return str(part.get("why") or f"it ended with exit code {part.get('exit_code', 'n/a')}")


def _gpu() -> dict[str, Any] | None:
    return read("gpu.json")


PARTS: tuple[tuple[Path, str, Table], ...] = (
    (MEASURING, "aa-study", aa_study),
    (MEASURING, "coverage", coverage),
    (BENCHMARKS, "overhead", overhead),
    (BENCHMARKS, "gpu-models", gpu_models),
    (BENCHMARKS, "gpu-oracle", gpu_oracle),
    (BENCHMARKS, "gpu-memory", gpu_memory),
    (BENCHMARKS, "optimum", optimum),
    (TESTING, "mutation", mutation),
    (TUNE, "tune", tune_study.table),
    *((BENCHMARKS, name, table) for name, table in fight_tables.PARTS.items()),
    *((VARIANTS, name, table) for name, table in variant_tables.PARTS.items()),
)


def _interval(ratio: dict[str, Any], digits: int = 2) -> str:
    median, bounds = ratio["median"], ratio["ci95"]
    if bounds is None:
        return f"{median:.{digits}f} (too few rounds for an interval)"
    return f"{median:.{digits}f} ({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})"


def _share(ratio: dict[str, Any]) -> str:
    percent = {"median": 100 * ratio["median"], "ci95": ratio["ci95"]}
    if ratio["ci95"] is not None:
        percent["ci95"] = [100 * bound for bound in ratio["ci95"]]
    return f"{_interval(percent, 3)} %"


def _range(values: list[Any], form: str) -> str:
    if not values:
        return "n/a"
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
