"""Our metrics against lmms-eval's own functions and ``anls_star``, on the same made answers.

Every difference must be a known one, with its reason; the page of ``eval`` lists them.

    python -m benchmarks.lmms.metric_check
"""

from __future__ import annotations

import sys
from collections import Counter

from benchmarks.lmms.metric_cases import Case, cases, shown
from benchmarks.lmms.other_metrics import CHECKS, SAME, Check, agree, their_pope_details
from v2drop_cli.tasks.scores.yes_no import yes_no_details


def main() -> None:
    """Print how many cases differ and why; leave with 1 for one without a reason."""
    unknown = 0
    for check in CHECKS:
        found, examples = Counter[str](), dict[str, Case]()
        made = cases(check.metric)
        for case in made:
            why = difference(check, case)
            if why is not None:
                found[why] += 1
                examples.setdefault(why, case)
        print(f"{check.metric} and {check.other}: {len(made)} cases, {found.total()} differ")
        for why, count in found.most_common():
            case = examples[why]
            scores = f"{check.ours(case):g} here, {check.theirs(case):g} there"
            print(f"  {count:4} {why or 'NO REASON KNOWN'}: {shown(case)}: {scores}")
        unknown += found[""]
    check_pope()
    if unknown:
        sys.exit(f"{unknown} differences without a reason")
    print("metrics: ok")


def check_pope() -> None:
    """Precision, recall and F1 of bare answers, which both read alike; and whose yes-ratio."""
    bare = [case for case in cases("yes_no") if case.answer.strip().lower() in ("yes", "no")]
    uneven = [case for case in bare if case.right != ("no",) or case.answer != "no"]
    ours = yes_no_details((case.answer, case.right[0]) for case in uneven)
    theirs = their_pope_details(uneven)
    said = [case.answer.strip().lower() for case in uneven].count("yes") / len(uneven)
    labels = [case.right[0] for case in uneven].count("yes") / len(uneven)
    for name in ("precision", "recall", "f1"):
        if abs(ours[name] - theirs[name]) > SAME:
            sys.exit(f"POPE's {name}: {ours[name]} here, {theirs[name]} there")
    if (ours["yes_ratio"], theirs["yes_ratio"]) != (said, labels) or said == labels:
        sys.exit(f"yes-ratio: {ours} here, {theirs} there")
    print(f"POPE: yes-ratio {said:g} here, of answers; {labels:g} there, of labels")


def difference(check: Check, case: Case) -> str | None:
    """Why two scores differ; empty where nobody knows, ``None`` where they do not."""
    if agree(check, case):
        return None
    return next((words for words, explains in check.reasons if explains(check, case)), "")


if __name__ == "__main__":
    main()
