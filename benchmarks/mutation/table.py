"""What the mutation runs found: the modules asked, the equivalent faults, and the table."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.result import RESULTS, where

FOLDER = RESULTS / "mutation"
EQUIVALENT = Path(__file__).parent / "equivalent.toml"


@dataclass(frozen=True, slots=True)
class Target:
    """A module whose faults are tried.

    Attributes:
        module: its place in the package, ``measure/stats``.
        tests: its own test files.
        sample: how many faults are tried, chosen at random, where all would take too long.
    """

    module: str
    tests: tuple[str, ...]
    sample: int | None = None

    @property
    def name(self) -> str:
        """As imported."""
        return f"v2drop_cli.{self.module.replace('/', '.')}"

    @property
    def path(self) -> str:
        """Its file, from the root of the repository."""
        return f"v2drop_cli/{self.module}.py"


def _own(module: str, *more: str, sample: int | None = None) -> Target:
    """A module with the test file that mirrors it, and others about nothing else."""
    room, _, name = module.rpartition("/")
    file = f"tests/{room}/test_{name}.py" if room else f"tests/test_{name}.py"
    return Target(module, (file, *more), sample)


TARGETS: tuple[Target, ...] = (
    _own("schedule"),
    _own("tensors"),
    _own("measure/stats"),
    _own("judge/ruler"),
    _own("judge/gate_grammar"),
    _own("judge/value_gates"),
    _own("judge/arm_verdicts"),
    _own("judge/change_verdicts"),
    _own("judge/change_gates"),
    _own("judge/comparable"),
    _own("judge/lead"),
    _own("judge/naming"),
    _own("judge/paired"),
    _own("judge/scoreboard"),
    _own("judge/throughput"),
    _own("judge/held_out"),
    _own("bench/budgets"),
    _own("bench/explain"),
    _own("bench/chosen"),
    _own("bench/askable"),
    _own("bench/ray_pool"),
    _own("bench/places"),
    _own("bench/watch"),
    _own("bench/rounds"),
    _own("bench/arms"),
    _own("bench/line_up"),
    _own("bench/passes", sample=40),
    _own("bench/comparison"),
    _own("bench/stopping"),
    _own("bench/stages", sample=12),
    *(
        _own(f"bench/{name}", sample=30)
        for name in (
            "answering",
            "asking",
            "capacity",
            "fidelity",
            "prompt_arms",
            "ragged",
            "scored",
            "sizes",
            "what_fits",
        )
    ),
    _own("instrument/context"),
    _own("instrument/selection"),
    _own("instrument/dropping"),
    _own("instrument/encodings"),
    _own("instrument/entry"),
    Target(
        "instrument/signals",
        ("tests/instrument/test_row_signals.py", "tests/instrument/test_signals.py"),
    ),
    Target(
        "instrument/tower",
        (
            "tests/instrument/test_tower_watch.py",
            "tests/instrument/test_tower.py",
            "tests/instrument/test_tower_projector.py",
        ),
    ),
    _own("instrument/tower_merging"),
    _own("instrument/tower_row"),
    _own("instrument/attention"),
    _own("instrument/chunks"),
    _own("instrument/refusals"),
    _own("instrument/masks"),
    _own("instrument/cache"),
    _own("instrument/forward"),
    _own("instrument/hooks"),
    _own("instrument/layer_call"),
    _own("instrument/numbering", sample=30),
    _own("instrument/verdict"),
    _own("instrument/trace"),
    _own("instrument/running", sample=30),
    _own("instrument/answer_windows"),
    _own("instrument/handed_choice"),
    _own("instrument/sharing"),
    _own("instrument/token_states"),
    _own("instrument/derived"),
    Target("instrument/folding", ("tests/instrument/test_folded_calls.py",)),
    _own("instrument/here", "tests/instrument/test_row_signals.py"),
    _own("instrument/later_features"),
    _own("instrument/remade"),
    _own("instrument/temperature"),
    Target("instrument/windows", ("tests/instrument/test_window_caches.py",)),
)


def file_of(target: Target) -> Path:
    """Where the result for ``target`` is kept."""
    return FOLDER / f"{target.module.replace('/', '.')}.json"


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A change that no test can notice.

    Attributes:
        module: where it is made; ``*`` for everywhere.
        before: the changed part of a line.
        after: what it may be changed to.
        why: the reason.
    """

    module: str
    before: str
    after: tuple[str, ...]
    why: str

    def is_made_by(self, module: str, fault: Mapping[str, str]) -> bool:
        """Whether ``fault`` is this change."""
        if self.module not in ("*", module):
            return False
        pieces = fault["before"].split(self.before)
        for cut in range(1, len(pieces)):
            ends = self.before.join(pieces[:cut]), self.before.join(pieces[cut:])
            if any(fault["after"] == after.join(ends) for after in self.after):
                return True
        return False


def equivalents() -> list[Equivalent]:
    """All that are listed."""
    found = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    return [
        Equivalent(item["module"], item["before"], tuple(item["after"]), item["why"])
        for item in found
    ]


def results() -> list[dict[str, Any]]:
    """The result files, in the order of the modules."""
    paths = [path for target in TARGETS if (path := file_of(target)).is_file()]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def unnoticed(result: Mapping[str, Any], listed: Sequence[Equivalent]) -> list[Mapping[str, str]]:
    """The faults that the tests should notice and do not."""
    module = result["module"]
    return [
        fault
        for fault in result["survivors"]
        if not any(item.is_made_by(module, fault) for item in listed)
    ]


def share(noticed: int, missed: int) -> float:
    """Noticed, of those that can be noticed."""
    return noticed / (noticed + missed)


def table() -> Iterator[str]:
    """One row for each module, and what was run where."""
    listed = equivalents()
    found = results()
    if not found:
        yield "Not measured yet."
        return
    yield "| module | its own tests | faults | tried | equivalent | noticed | share |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for result in found:
        missed = len(unnoticed(result, listed))
        alike = len(result["survivors"]) - missed
        tests = ", ".join(f"`{name}`" for name in result["tests"])
        percent = f"{100 * share(result['noticed'], missed):.1f} %"
        counts = (result["faults"], result["tried"], alike, result["noticed"], percent)
        yield f"| `{result['module']}` | {tests} | {' | '.join(map(str, counts))} |"
    sources: dict[str, list[str]] = {}
    for result in found:
        sources.setdefault(f"{result['tool']}; {_run(result)}", []).append(result["module"])
    for source, modules in sources.items():
        yield ""
        yield f"{', '.join(modules)}: {source}"


def _run(result: Mapping[str, Any]) -> str:
    """The run, and before a run of ``--again`` the one that tried all."""
    first = result.get("first")
    if first is None:
        return where(result)
    return (
        f"all by `{first['command']}`, {first['date'][:10]}, and what was left by {where(result)}"
    )
