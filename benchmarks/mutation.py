"""Which small faults do a module's own tests notice? python -m benchmarks.mutation [MODULE …]

cosmic-ray (``pip install -e ".[test,dev]"``) makes the faults: one operator, number, truth value,
loop, decorator or exception of one module is changed at a time. The module's own test files then
run against the changed source, and must fail. A fault that no test can tell from the original is
*equivalent*; ``mutation.toml`` lists each with the reason.

Every fault is tried in a fork of a process that has imported torch, transformers and pytest
already: that saves seconds on each of thousands. The changed source is handed to the import
system and never written to disk, so the working tree stays as it is.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import importlib.abc
import importlib.machinery
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from benchmarks.mutation_table import FOLDER, TARGETS, Target
from benchmarks.result import origin, write

ROOT = Path(__file__).parents[1]
_SEED = 0
# A fault may make a loop endless: a run gets this many times the CPU time of the original.
_PATIENCE = 5
_LEAST_CPU_S = 4
# Fewer than in the one test command: most faults show in the first few.
_EXAMPLES = 30
# cosmic-ray puts each of eleven operators in an operator's place; these many say as much.
_AT_ONE_PLACE = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault can be made: the operator, how often it was met before, and the node."""

    operator: str
    occurrence: int
    node: Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One changed module.

    Attributes:
        operator: the cosmic-ray operator that made the change.
        where: function or class that it is in; empty at the top of the module.
        before: the changed lines, as they were.
        after: the same lines, changed.
        source: the whole changed module.
    """

    operator: str
    where: str
    before: str
    after: str
    source: str


# The faults -----------------------------------------------------------------------------------


def places(source: str) -> list[Place]:
    """Every change to make: a few of one family at one place, and none that is never run."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(source)))
    silent = list(_silent(source))
    families: dict[tuple[str, Any], list[Place]] = {}
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():  # these need names of variables
            continue
        operator = kind()
        found = [node for node in nodes for _ in operator.mutation_positions(node)]
        for occurrence, node in enumerate(found):
            if not any(first <= node.start_pos < last for first, last in silent):
                # ReplaceBinaryOperator_Add_Sub is of the family ReplaceBinaryOperator.
                family = (name.split("_")[0], node.start_pos)
                families.setdefault(family, []).append(Place(name, occurrence, node))
    draw = random.Random(_SEED)
    return [
        place
        for alike in families.values()
        for place in draw.sample(alike, min(len(alike), _AT_ONE_PLACE))
    ]


def faults(source: str, chosen: Iterable[Place]) -> Iterator[Fault]:
    """The changed sources; a change that does not compile is none."""
    from cosmic_ray.ast.ast_query import ASTQuery
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    for place in chosen:
        changed = mutate_code(source, get_operator(place.operator)(), place.occurrence)
        if changed is None or not _compiles(changed):
            continue
        before, after = changed_lines(source, changed)
        where = ASTQuery(place.node).get_definition_name() or ""
        yield Fault(place.operator.split("/")[-1], where, before, after, changed)


def _compiles(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "changed", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _silent(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where only type checkers read: annotations, overloads, their imports."""
    lines = source.encode().splitlines()
    for node in ast.walk(ast.parse(source)):
        for part in _read_by_type_checkers(node):
            first = part.lineno, len(lines[part.lineno - 1][: part.col_offset].decode())
            end, column = part.end_lineno or 0, part.end_col_offset or 0
            yield first, (end, len(lines[end - 1][:column].decode()))


def _read_by_type_checkers(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    if isinstance(node, ast.FunctionDef):
        last = node.body[-1]
        if isinstance(last, ast.Expr) and getattr(last.value, "value", None) is ...:
            yield from (*node.decorator_list, node)
        if node.returns:
            yield node.returns
    elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        yield node.annotation
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        yield node


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, each side joined by spaces."""
    old, new = before.splitlines(), after.splitlines()
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    sides = (old[head : len(old) - tail], new[head : len(new) - tail])
    first, second = (" ".join(" ".join(lines).split()) for lines in sides)
    return first, second


# Trying them ----------------------------------------------------------------------------------


class _Changed(importlib.machinery.SourceFileLoader, importlib.abc.MetaPathFinder):
    """Gives one module another source than its file has."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        super().__init__(module, str(path))
        self.source = source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        found = name == self.name
        return spec_from_file_location(name, self.path, loader=self) if found else None

    def get_code(self, fullname: str) -> Any:
        return compile(self.source, self.path, "exec")


@dataclass(frozen=True, slots=True)
class Trial:
    """How one run of the tests ended: whether they passed, its CPU time, and what it printed."""

    passed: bool
    cpu_s: float
    said: str


def tried(target: Target, source: str, cpu_s: float) -> Trial:
    """Run the module's own tests, for at most ``cpu_s`` seconds, with ``source`` in its place."""
    scratch = tempfile.mkdtemp(prefix="mutation-")
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _run_tests(target, source, cpu_s, scratch)
    # A fault may also wait for ever, without using the CPU.
    ended, status, used = 0, 0, None
    while not ended:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if not ended and time.monotonic() - began > 60 + 10 * cpu_s:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0 if ended else 0.02)
    said = Path(scratch, "said").read_text(encoding="utf-8", errors="replace")
    shutil.rmtree(scratch, ignore_errors=True)
    assert used is not None
    return Trial(status == 0, used.ru_utime + used.ru_stime, said)


def _run_tests(target: Target, source: str, cpu_s: float, scratch: str) -> None:
    """In the fork: never returns."""
    code = 1
    try:
        os.setsid()
        said = os.open(f"{scratch}/said", os.O_RDWR | os.O_CREAT)
        for stream in range(3):
            os.dup2(said, stream)
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
        # The head of the result file has imported the package; the tests must see the change.
        for name in [name for name in sys.modules if name.split(".")[0] == "v2drop_cli"]:
            del sys.modules[name]
        sys.meta_path.insert(0, _Changed(target.name, ROOT / target.path, source))
        import pytest

        options = [
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "_hypothesis_pytestplugin",
            "--hypothesis-profile=mutation",
        ]
        # Of what was imported before the fork.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = int(pytest.main([*options, f"--basetemp={scratch}/t", *target.tests]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare() -> None:
    """Import what all tests import, but nothing of this project; same examples in every run."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a tenth of each run
    import hypothesis
    import pytest  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    from transformers.models.llava import modeling_llava  # noqa: F401

    torch.set_num_threads(1)
    hypothesis.settings.register_profile(
        "mutation",
        deadline=None,
        database=None,
        derandomize=True,
        max_examples=_EXAMPLES,
        report_multiple_bugs=False,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    # pytest collects garbage three times a run: not what was imported here, a million objects.
    gc.freeze()


def measure(target: Target, sample: int | None) -> dict[str, Any]:
    """Try the faults of one module, or a random ``sample`` of them that is the same every time."""
    began = time.monotonic()
    source = (ROOT / target.path).read_text(encoding="utf-8")
    known = tried(target, source, 3600)
    print(f"{target.name}: {known.cpu_s:.1f} s of CPU without a fault", file=sys.stderr)
    if not known.passed:
        raise SystemExit(f"{target.name}: its own tests fail without any fault\n{known.said}")
    limit = max(_LEAST_CPU_S, _PATIENCE * known.cpu_s)
    everything = places(source)
    chosen = everything
    if sample is not None and sample < len(everything):
        chosen = random.Random(_SEED).sample(everything, sample)
    survivors, number = [], 0
    for number, fault in enumerate(faults(source, chosen), 1):
        if tried(target, fault.source, limit).passed:
            survivors.append({k: v for k, v in asdict(fault).items() if k != "source"})
            print(f"  {fault.where}: {fault.before}  →  {fault.after}", flush=True)
        if number % 20 == 0:
            taken = time.monotonic() - began
            print(f"{target.name}: {number} of {len(chosen)}, {taken:.0f} s", file=sys.stderr)
    return {
        "module": target.module,
        "tests": list(target.tests),
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "faults": len(everything),
        "tried": number,
        "noticed": number - len(survivors),
        "survivors": survivors,
        "elapsed_s": round(time.monotonic() - began),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Try the faults of the modules named, or of all, and write one result file for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation", description=__doc__)
    names = [target.module for target in TARGETS]
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(names))
    parser.add_argument("--sample", type=int, help="of each module, that many faults at most")
    options = parser.parse_args(arguments)
    unknown = set(options.modules) - set(names)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    head = {**origin(), "tool": f"cosmic-ray {version('cosmic-ray')}", "seed": _SEED}
    prepare()
    for target in TARGETS:
        if options.modules and target.module not in options.modules:
            continue
        sample = options.sample or target.sample
        found = measure(target, sample)
        print(f"{target.name}: {found['noticed']} of {found['tried']} noticed", flush=True)
        write(FOLDER / f"{target.module.replace('/', '.')}.json", {**head, **found})


if __name__ == "__main__":
    main()
