"""Which small faults do a module's own tests notice? python -m benchmarks.mutation.run

cosmic-ray (``pip install -e ".[test,dev]"``) makes the faults: one operator, number, truth value,
loop, decorator or exception of one module is changed at a time. The module's own test files then
run against the changed source, and must fail. A fault that no test can tell from the original is
*equivalent*; ``equivalent.toml`` lists each with the reason.

Every fault is tried in a fork of a process that has imported torch, transformers and pytest
already: that saves seconds on each of thousands. The changed source is handed to the import
system and never written to disk, so the working tree stays as it is.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib.machinery
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from benchmarks.mutation.faults import SEED, Fault, faults, places
from benchmarks.mutation.table import TARGETS, Target, file_of
from benchmarks.result import origin, write

ROOT = Path(__file__).parents[2]
# A fault may make a loop endless: a run gets this many times the CPU time of the original.
_PATIENCE = 5
_LEAST_CPU_S = 4
# Fewer than in the one test command: most faults show in the first few.
_EXAMPLES = 30


class _Changed(importlib.machinery.SourceFileLoader):
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


def measure(target: Target, sample: int | None, before: dict[str, Any] | None) -> dict[str, Any]:
    """Try the faults of one module.

    Args:
        target: the module.
        sample: how many faults, drawn at random, the same every time; ``None`` for all.
        before: an earlier result for the same source, of which only those faults are tried that
            no test noticed: tests were added since.
    """
    began = time.monotonic()
    source = (ROOT / target.path).read_text(encoding="utf-8")
    digest = hashlib.sha256(source.encode()).hexdigest()
    known = tried(target, source, 3600)
    if not known.passed:
        raise SystemExit(f"{target.name}: its own tests fail without any fault\n{known.said}")
    if before is not None and before["source_sha256"] != digest:
        raise SystemExit(f"{target.name} has changed since: all of its faults must be tried")
    chosen = everything = places(source)
    if sample is not None and sample < len(everything):
        chosen = random.Random(SEED).sample(everything, sample)
    number, survivors = 0, []
    for number, fault in enumerate(faults(source, chosen), 1):
        if before is not None and _told(fault) not in before["survivors"]:
            continue
        if tried(target, fault.source, max(_LEAST_CPU_S, _PATIENCE * known.cpu_s)).passed:
            survivors.append(_told(fault))
            print(f"  {fault.where}: {fault.before}  →  {fault.after}", flush=True)
        if number % 20 == 0:
            print(f"{target.name}: {number} of {len(chosen)}", file=sys.stderr)
    return {
        "module": target.module,
        "tests": list(target.tests),
        "source_sha256": digest,
        "faults": len(everything),
        "tried": number,
        "noticed": number - len(survivors),
        "survivors": survivors,
        "elapsed_s": round(time.monotonic() - began),
    }


def _told(fault: Fault) -> dict[str, str]:
    """The fault without the whole source."""
    return {name: value for name, value in asdict(fault).items() if name != "source"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Try the faults of the modules named, or of all, and write one result file for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutation.run", description=__doc__)
    names = [target.module for target in TARGETS]
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(names))
    parser.add_argument("--sample", type=int, help="of each module, that many faults at most")
    parser.add_argument(
        "--again", action="store_true", help="only what no test noticed the last time"
    )
    options = parser.parse_args(arguments)
    unknown = set(options.modules) - set(names)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    head = {**origin(), "tool": f"cosmic-ray {version('cosmic-ray')}", "seed": SEED}
    prepare()
    for target in TARGETS:
        if options.modules and target.module not in options.modules:
            continue
        before = None
        if options.again:
            before = json.loads(file_of(target).read_text(encoding="utf-8"))
        found = measure(target, options.sample or target.sample, before)
        print(f"{target.name}: {found['noticed']} of {found['tried']} noticed", flush=True)
        first = {} if before is None else {"first": before.get("first", _origin_of(before))}
        write(file_of(target), {**head, **first, **found})


def _origin_of(result: dict[str, Any]) -> dict[str, Any]:
    """Of the run that tried all: by which command, and when."""
    environment = result["environment"]
    return {
        "command": result["command"],
        "date": environment["date"],
        "commit": environment["commit"],
        "elapsed_s": result["elapsed_s"],
    }


if __name__ == "__main__":
    main()
