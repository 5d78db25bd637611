"""Evaluations made of rows that a reader can count."""

from __future__ import annotations

from dataclasses import replace

from v2drop_cli.judge.scoreboard import filled
from v2drop_cli.records import CaveatKind
from v2drop_cli.records.evaluation import (
    ALL_ROWS,
    ArmScores,
    BrokenRow,
    DataRecord,
    EvalRequest,
    Evaluation,
)
from v2drop_cli.records.journal import ArmAnswer, RowResult

REQUEST = EvalRequest(
    "llava-1.5-7b", "llava-hf/llava-1.5-7b-hf", "abc123", "trained", "sdpa", "bfloat16", "cuda:0",
    "none", 0, 64, 8, 8,
)  # fmt: skip
DATA = DataRecord("street questions.jsonl", "0" * 64, 400, 207, "yes_no", "POPE, arXiv 2305.10355")
METHODS = {"dense": None, "v2drop budget 33%": "v2drop", "random budget 33%": "random"}
# Rows out of 200 that are wrong, by arm.
WRONG = {
    "dense": range(20),
    "v2drop budget 33%": range(4, 22),
    "random budget 33%": range(2, 90),
}


def rows(fidelity: bool = False, scored: bool = True) -> list[RowResult]:
    found = []
    for number in range(200):
        arms = {}
        for place, label in enumerate(METHODS):
            right = number not in WRONG[label]
            arms[label] = ArmAnswer(
                text="yes" if right else "no",
                tokens=(5, 2) if right else (6, 2),
                score=float(right) if scored else None,
                vision_tokens=576,
                layer_average=576 / (1 + 2 * (place > 0)),
                prefill_s=0.08 / (1 + place),
                decode_s_per_token=0.012,
                kl=0.01 * place if fidelity else None,
                agreement=1 - 0.1 * place if fidelity else None,
                first_divergence=1 if fidelity and place and not right else None,
            )
        found.append(RowResult(number, f"street {number % 2}", "yes", arms))
    return found


def evaluated(fidelity: bool = False, scored: bool = True) -> Evaluation:
    arms = []
    for label, method in METHODS.items():
        bare = ArmScores(
            label, method, {}, None if method is None else "3:0.2", None, (), None, (),
            {"precision": 0.9, "yes_ratio": 0.75} if scored else {}, 0.0, 0.0, 0.0, None, None,
            None, None,
        )  # fmt: skip
        arms.append(filled(bare, "dense", rows(fidelity, scored)))
    return Evaluation(
        environment={"v2drop": "1.0"},
        data=DATA if scored else replace(DATA, metric=None, metric_source=None),
        request=REQUEST,
        arms=tuple(arms),
        rows=200,
        broken=tuple(BrokenRow(200 + n, f"no such file: \x1b[31m{n}.png") for n in range(7)),
        stopped_by=ALL_ROWS,
        warnings=(CaveatKind.DEVICE_CPU.caveat(),),
    )
