"""Each of our metrics, the one that it is held against, and where the two are known to differ."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import anls_star
from lmms_eval.api import metrics
from lmms_eval.tasks._task_utils import mmmu_mcq_utils
from lmms_eval.tasks.chartqa import utils as chartqa
from lmms_eval.tasks.pope import utils as pope
from lmms_eval.tasks.vqav2 import utils as vqav2

from benchmarks.lmms.metric_cases import Case
from v2drop_cli.tasks.scores.anls import anls
from v2drop_cli.tasks.scores.exact_match import exact_match
from v2drop_cli.tasks.scores.multiple_choice import multiple_choice
from v2drop_cli.tasks.scores.relaxed_accuracy import relaxed_accuracy
from v2drop_cli.tasks.scores.vqa_accuracy import vqa_accuracy
from v2drop_cli.tasks.scores.yes_no import yes_no

SAME = 1e-9
Score = Callable[[Case], float]


@dataclass(frozen=True, slots=True)
class Check:
    """One of our metrics and one that it is held against.

    Attributes:
        metric: ours, by name.
        other: whose the other one is.
        ours, theirs: the scores of a case.
        reasons: the differences that are known.
    """

    metric: str
    other: str
    ours: Score
    theirs: Score
    reasons: tuple[Reason, ...] = ()


Explains = Callable[[Check, Case], bool]
Reason = tuple[str, Explains]
"""What the other metric does, and whether that is why a case differs."""


def agree(check: Check, case: Case) -> bool:
    """Whether both score the case alike."""
    return abs(check.ours(case) - check.theirs(case)) < SAME


def _but_for(change: Callable[[str], str], rest: Explains = agree) -> Explains:
    """That with every text of a case so changed both agree."""

    def explains(check: Check, case: Case) -> bool:
        right = tuple(change(one) for one in case.right)
        return rest(check, replace(case, answer=change(case.answer), right=right))

    return explains


def _one_space(text: str) -> str:
    return " ".join(text.split())


def _half(check: Check, case: Case) -> bool:
    """That the similarity is exactly a half."""
    return check.ours(case) == 0 and abs(check.theirs(case) - 0.5) < SAME


def _either(check: Check, case: Case) -> bool:
    return agree(check, case) or _half(check, case)


def _their_exact_match(case: Case) -> float:
    found: Any = metrics.exact_match_hf_evaluate(
        [case.answer], list(case.right), ignore_case=True, ignore_punctuation=True
    )
    return float(found["exact_match"])


def _their_vqa(case: Case) -> float:
    people = [{"answer": one, "answer_id": place} for place, one in enumerate(case.right)]
    found: Any = vqav2.vqav2_process_results({"answers": people, "question_id": 0}, [case.answer])
    return float(found["exact_match"])


_NONE = "none"


class _NoLuck(random.Random):
    """Instead of the letter that MMMU draws where it finds none."""

    def choice(self, seq: Any) -> Any:
        return _NONE


def _their_letter(case: Case) -> str:
    names = "ABCDEFGH"[: len(case.choices)]
    vars(mmmu_mcq_utils)["random"] = _NoLuck()
    found: str = mmmu_mcq_utils.parse_mmmu_multi_choice_response(
        case.answer, list(names), dict(zip(names, case.choices, strict=True))
    )
    return found


def _their_pope(case: Case) -> float:
    document = {"question_id": 0, "answer": case.right[0]}
    found: Any = pope.pope_process_results(document, [case.answer])
    return float(found["pope_accuracy"]["score"])


def their_pope_details(made: Iterable[Case]) -> dict[str, float]:
    """What lmms-eval tells of many answers to POPE."""
    found = [
        pope.pope_process_results({"question_id": 0, "answer": case.right[0]}, [case.answer])
        for case in made
    ]
    results = [one["pope_accuracy"] for one in found]
    return {
        "precision": pope.pope_aggregate_precision(results),
        "recall": pope.pope_aggregate_recall(results),
        "f1": pope.pope_aggregate_f1_score(results),
        "yes_ratio": pope.pope_aggregate_yes_ratio(results),
    }


def _their_relaxed(case: Case) -> float:
    return float(any(chartqa.relaxed_correctness(case.answer, one) for one in case.right))


def _their_anls(case: Case) -> float:
    found: Any = metrics.anls(list(case.right), [case.answer])
    return float(found["anls"])


def _anls_star(case: Case) -> float:
    return float(anls_star.anls_score(case.right, case.answer))


_HALF = ("a similarity of exactly a half counts; the paper's equation has 0 there", _half)
CHECKS = (
    Check(
        "exact_match",
        "lmms-eval",
        lambda case: exact_match(case.answer, case.right),
        _their_exact_match,
        (("spaces at the ends and doubled ones count", _but_for(_one_space)),),
    ),
    Check(
        "vqa",
        "lmms-eval",
        lambda case: vqa_accuracy(case.answer, case.right),
        _their_vqa,
        (
            (
                "`$`, `%`, `&` and `#` stay; by the page all but apostrophe and colon go",
                _but_for(lambda text: re.sub(r"[$%&#]", " ", text)),
            ),
            (
                "in a text with a number like `1,000` other punctuation joins words",
                lambda check, case: re.search(r"\d,\d", case.answer) is not None,
            ),
        ),
    ),
    Check(
        "multiple_choice",
        "lmms-eval",
        lambda case: multiple_choice(case.answer, case.right[0], case.choices),
        lambda case: float(_their_letter(case) == case.right[0]),
        (
            (
                "finds no letter and draws one: for the words of a choice in five words or fewer, "
                "and for `b`, `B)`, `B:`, `**B**`",
                lambda check, case: _their_letter(case) == _NONE,
            ),
            (
                "the article of `A picture of Rome` is the letter A",
                lambda check, case: case.answer.startswith("A ") and _their_letter(case) == "A",
            ),
        ),
    ),
    Check(
        "yes_no",
        "lmms-eval",
        lambda case: yes_no(case.answer, case.right),
        _their_pope,
        (
            (
                "an answer that is not `yes` or `no` and nothing else is wrong",
                lambda check, case: case.answer.strip().lower() not in ("yes", "no"),
            ),
        ),
    ),
    Check(
        "relaxed",
        "lmms-eval",
        lambda case: relaxed_accuracy(case.answer, case.right),
        _their_relaxed,
        (
            ("spaces at the ends of words count", _but_for(str.strip)),
            (
                "`nan` and `inf` are numbers",
                lambda check, case: case.answer.strip() in ("nan", "inf"),
            ),
        ),
    ),
    Check(
        "anls",
        "lmms-eval",
        lambda case: anls(case.answer, case.right),
        _their_anls,
        (
            _HALF,
            (
                "doubled spaces are one, but the length is the one before that, ends included",
                _but_for(_one_space, _either),
            ),
        ),
    ),
    Check(
        "anls",
        "anls_star",
        lambda case: anls(case.answer, case.right),
        _anls_star,
        (_HALF, ("doubled spaces are one", _but_for(_one_space, _either))),
    ),
)
