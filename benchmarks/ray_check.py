"""``v2drop eval --engine ray`` against one process: the same rows, also after a worker's death.

python -m benchmarks.ray_check --rows 24
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TIMES = ("prefill_s", "decode_s_per_token")


def command(rows: int, folder: Path, *more: str) -> list[str]:
    """One evaluation of ``tiny``; its rows go to ``folder``."""
    words = ["-m", "v2drop_cli", "eval", "shapes", "--device", "cpu", "--limit", str(rows)]
    words += ["--schedule", "1:0.3,4:0.2", "--batch-size", "2", "--output", str(folder)]
    return [sys.executable, *words, *more]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run, without what a clock said."""
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    found = [json.loads(line) for line in lines]
    for row in found:
        for said in row["arms"].values():
            for name in TIMES:
                said.pop(name)
    return found


def workers() -> list[int]:
    """The processes of this machine that are workers of ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if name.startswith(b"ray::Worker"):
                found.append(int(entry.name))
    return sorted(found)


def killed(words: list[str], folder: Path) -> int:
    """Run it, and kill a worker once a row is there; how many were killed."""
    before = set(workers())
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    count, path = 0, folder / "rows.jsonl"
    while process.poll() is None:
        begun = path.exists() and path.read_bytes().count(b"\n") > 1
        ours = [number for number in workers() if number not in before]
        if begun and ours and not count:
            os.kill(ours[0], signal.SIGKILL)
            count += 1
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"left with {process.returncode}")
    return count


def main() -> None:
    """Run all of it; leave with 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=24, help="questions")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(command(rows, folder / "one"), check=True, stdout=subprocess.DEVNULL)
        one = rows_of(folder / "one")
        over = ("--engine", "ray", "--workers", "2")
        subprocess.run(command(rows, folder / "ray", *over), check=True, stdout=subprocess.DEVNULL)
        same = rows_of(folder / "ray") == one
        print(f"two workers of Ray: {len(one)} rows, {'the same' if same else 'OTHER'}")
        dead = killed(command(rows, folder / "killed", *over), folder / "killed")
        after = rows_of(folder / "killed")
        print(f"{dead} worker killed: {len(after)} rows, {'the same' if after == one else 'OTHER'}")
        if not (same and dead == 1 and after == one):
            sys.exit(1)
    print("ray: ok")


if __name__ == "__main__":
    main()
