"""lmms-eval with ``--model v2drop`` and ``v2drop eval``, on the same rows: the same answers.

Both are what is installed, not what is here: their processes start in a folder of their own.

    python -m benchmarks.lmms.end_to_end --rows 72
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lmms.task import ASKED, JUDGED, LONGEST, ROUNDS, write_tasks

SCHEDULE = "1:0.3,4:0.2"
_SEMICOLONS = f"schedule={SCHEDULE.replace(',', ';')}"
ARMS: Mapping[str, Sequence[str]] = {
    "dense": ("method=dense",),
    f"v2drop {SCHEDULE}": (_SEMICOLONS,),
    f"random {SCHEDULE}": (_SEMICOLONS, "method=random"),
}
BUDGET = ("budget=20%",)
PYTHON = sys.executable


@dataclass(frozen=True, slots=True)
class Here:
    """Where the check works.

    Attributes:
        folder: of the tasks and their data, and of all results.
        batch_size: prompts at once.
    """

    folder: Path
    batch_size: int

    def lmms_command(self, task: str, args: Sequence[str], name: str) -> list[str]:
        """lmms-eval on one task; its results go into a folder of that name."""
        given = ",".join(("pretrained=tiny,device=cpu", *args))
        options = {
            "--model": "v2drop",
            "--model_args": given,
            "--tasks": task,
            "--include_path": str(self.folder),
            "--output_path": str(self.folder / name),
            "--batch_size": str(self.batch_size),
        }
        words = [word for pair in options.items() for word in pair]
        return ["-m", "lmms_eval", *words, "--log_samples"]

    def run(self, words: Sequence[str]) -> str:
        """A command's stdout; where it fails, what it said is shown."""
        done = subprocess.run(
            [PYTHON, *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(words)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def lmms(self, task: str, args: Sequence[str], name: str) -> tuple[dict[str, Any], list[Any]]:
        """The scores and the samples of a run of lmms-eval, whose exit code says nothing."""
        said = self.run(self.lmms_command(task, args, name))
        return self.results(task, name, said)

    def results(self, task: str, name: str, said: str) -> tuple[dict[str, Any], list[Any]]:
        """What a run has written."""
        found = sorted((self.folder / name).rglob("*results.json"))
        if not found:
            sys.exit(f"lmms-eval wrote no results\n{said}")
        scores = json.loads(found[-1].read_text(encoding="utf-8"))["results"][task]
        [samples] = (self.folder / name).rglob(f"*samples_{task}.jsonl")
        lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        return scores, sorted(lines, key=lambda line: int(line["doc_id"]))


def evaluated(here: Here, data: Path) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Of each arm of ``v2drop eval``: its score, and its answers."""
    words = ["-m", "v2drop_cli", "eval", str(data), "--device", "cpu", "--schedule", SCHEDULE]
    words += ["--method", "v2drop", "--method", "random", "--json"]
    words += ["--max-new-tokens", str(LONGEST), "--batch-size", str(here.batch_size)]
    document = json.loads(here.run([*words, "--output", "eval"]))
    rows = (here.folder / "eval" / "rows.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    answers: dict[str, list[str]] = {arm["label"]: [] for arm in document["arms"]}
    for line in rows:
        for label, said in json.loads(line)["arms"].items():
            answers[label].append(said["text"])
    scores = {arm["label"]: float(arm["score"]["mean"]) for arm in document["arms"]}
    return scores, answers


def compare(here: Here, data: Path) -> None:
    """Scores and answers of each arm, by both."""
    scores, answers = evaluated(here, data)
    if set(scores) != set(ARMS):
        sys.exit(f"v2drop eval has {sorted(scores)}")
    for label, args in ARMS.items():
        found, samples = here.lmms(ASKED, args, _folder(label))
        score = float(found["exact_match,none"])
        said = [sample["filtered_resps"] for sample in samples]
        other = sum(one != two for one, two in zip(said, answers[label], strict=True))
        print(f"{label:24} lmms-eval {score:.6f}  v2drop eval {scores[label]:.6f}", end="  ")
        print(f"{len(said)} answers, {other} other")
        if abs(score - scores[label]) > 1e-9 or other:
            sys.exit("they differ")


def _folder(label: str) -> str:
    """Without commas, which part the arguments of lmms-eval's tracker, the folder among them."""
    return re.sub(r"\W+", "-", label)


def judge(here: Here) -> None:
    """Choices by their loss, and questions in rounds: that both run, with every answer there."""
    found, samples = here.lmms(JUDGED, BUDGET, "judged")
    if len(found) < 2 or not 0 <= found["acc,none"] <= 1:
        sys.exit(f"not judged: {found}")
    print(f"judged by loss           acc {found['acc,none']:.6f}  {len(samples)} questions")
    found, samples = here.lmms(ROUNDS, BUDGET, "rounds")
    print(f"in two rounds            last answer {found['last_answer,none']:.6f}")


def kill_and_go_on(here: Here) -> None:
    """A run that is killed and started again with its cache asks only what is missing."""
    os.environ["LMMS_CACHE_RUN_ID"] = "killed"  # or lmms-eval looks only into runs that ended
    args = ARMS[f"v2drop {SCHEDULE}"]
    command = [*here.lmms_command(ASKED, args, "killed"), "--use_cache", str(here.folder / "kept")]
    process = subprocess.Popen(
        [PYTHON, *command], cwd=here.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not _kept(here):
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = _kept(here)
    said = here.run(command)
    scores, samples = here.results(ASKED, "killed", said)
    whole, _ = here.results(ASKED, _folder(f"v2drop {SCHEDULE}"), said)
    if not 0 < kept < len(samples) or scores["exact_match,none"] != whole["exact_match,none"]:
        sys.exit(f"{kept} answers kept, then {scores}; unbroken: {whole}")
    new = _kept(here) - kept
    print(f"killed after {kept} answers, {new} asked then: the same score")
    if new != len(samples) - kept:
        sys.exit("not the missing ones")


def _kept(here: Here) -> int:
    logs = (here.folder / "kept").glob("**/runs/**/*.jsonl")
    return sum(log.read_bytes().count(b"\n") for log in logs)


def main() -> None:
    """Run all of it; leave with 1 where something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=72, help="questions")
    parser.add_argument("--batch-size", type=int, default=8, help="prompts at once")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here = Here(Path(folder), given.batch_size)
        data = write_tasks(here.folder, given.rows)
        compare(here, data)
        judge(here)
        kill_and_go_on(here)
    print("lmms-eval: ok")


if __name__ == "__main__":
    main()
