"""`v2drop tune` without a command line: the split, kills, and what the rows held out decide."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.tasks.questions_file import add_line, write_questions
from tests.tuning.small import small_model
from v2drop_cli.bench.asking import How
from v2drop_cli.bench.watch import Watch
from v2drop_cli.commands.tune import TuneOptions, tune
from v2drop_cli.errors import ScheduleError, UsageError
from v2drop_cli.records.tuning import TrialJournal
from v2drop_cli.tasks.jsonl import Jsonl
from v2drop_cli.tasks.scores.known import metric_of

TIMES = ("prefill_s", "on_prefill", "environment")


@pytest.fixture
def loaded():
    return small_model()


@pytest.fixture
def path(tmp_path):
    return write_questions(tmp_path, 10)


def options(metric="exact_match", **changes):
    how = How(metric_of(metric), max_new_tokens=2, frames=2)
    given = TuneOptions("here", ("v2drop",), how, "40%", None, False, None, 256, 4, "random", 3)
    return replace(given, **changes)


def tuned(loaded, path, given=None, journal=None, watch=None):
    return tune(loaded, Jsonl(str(path)), given or options(), journal or TrialJournal(None), watch)


def test_columns_of_tables_are_part_of_a_search():
    one, other = (SimpleNamespace(digest="d", columns=f"question={name}") for name in "ab")
    settings = options(held_out=other).settings(one)
    assert (settings["columns"], settings["held-out columns"]) == ("question=a", "question=b")
    # Data of other kinds have none, and a search that was begun before tables were read neither.
    plain = options().settings(SimpleNamespace(digest="d", columns=None))
    assert not {"columns", "held-out columns"} & {*plain}


def timeless(value):
    """A document without what a clock said."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in TIMES}
    return [timeless(v) for v in value] if isinstance(value, (list, tuple)) else value


def test_the_best_trial_is_compared_with_the_default_on_both_sides(loaded, path):
    found = tuned(loaded, path, options(methods=("v2drop", "random"), trials=4))
    assert (found.stopped_by, len(found.trials), found.search.known) == ("trials", 4, 2)
    assert found.search.methods == ("v2drop", "random")
    assert found.trials[0].schedule == found.sides[0].arms[1].schedule  # the default was tried
    assert found.best.value == min(trial.value for trial in found.trials)
    for trial in found.trials:
        assert trial.asked == pytest.approx(0.4)
        assert trial.cost.share == pytest.approx(0.4, abs=0.03)  # of 36 tokens one is a lot
        assert trial.cost.prefill_flops > 0
    calibration, held_out = found.sides
    assert (calibration.rows, held_out.rows) == (5, 5)
    dense, default, best = calibration.arms
    assert (dense.quality.kl, dense.loss, default.method) == (0.0, 0.0, "v2drop")
    assert best.schedule == found.best.schedule
    assert best.quality.kl == pytest.approx(found.best.quality.kl)
    assert calibration.kl.ratio == pytest.approx(best.quality.kl / default.quality.kl)
    assert found.carries_over == held_out.kl.verdict
    assert held_out.score is not None
    assert found.tolerated is None


def test_one_of_every_two_rows_is_held_out(path):
    data, given = Jsonl(str(path)), options()
    sides = [{row.number for row in rows(data)} for rows in (given.calibration, given.kept_back)]
    assert sides[0] | sides[1] == set(range(10))
    assert all(len(side & {pair, pair + 1}) == 1 for side in sides for pair in range(0, 10, 2))
    other = replace(given, how=replace(given.how, seed=1))
    assert {row.number for row in other.calibration(data)} != sides[0]
    few = replace(given, limit=4)
    assert {row.number for row in few.calibration(data)} == sides[0] & set(range(4))


def test_other_data_can_be_held_out(loaded, path, tmp_path):
    (tmp_path / "other").mkdir()
    other = Jsonl(str(write_questions(tmp_path / "other", 3)))
    found = tuned(loaded, path, options(held_out=other, limit=4, trials=1))
    assert [side.rows for side in found.sides] == [4, 3]
    assert (found.data.held_out, found.data.held_out_digest) == (other.name, other.digest)


def test_a_search_gone_on_with_says_what_an_unbroken_one_says(loaded, path, tmp_path):
    trials = tmp_path / "trials.jsonl"
    whole = timeless(tuned(loaded, path, journal=TrialJournal(trials)).to_json())
    lines = trials.read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    trials.write_bytes(b"".join(lines[:2]) + lines[2][:9])
    again = tuned(loaded, path, journal=TrialJournal(trials, resume=True))
    assert timeless(again.to_json()) == whole
    fewer = tuned(loaded, path, options(trials=2), TrialJournal(trials, resume=True))
    assert len(fewer.trials) == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"budget": "50%"}, "budget"),
        ({"budget": None, "tolerate": 0.1}, "budget"),
        ({"sampler": "tpe"}, "sampler"),
        ({"methods": ("random",)}, "set of methods"),
        ({"by_score": True}, "goal: \"fidelity\", now \"exact_match\""),
        ({"limit": 8}, "number of rows"),
    ],
)  # fmt: skip
def test_another_search_is_not_gone_on_with(path, tmp_path, changes, named):
    data, trials = Jsonl(str(path)), tmp_path / "trials.jsonl"
    TrialJournal(trials).begin(options().settings(data))
    with pytest.raises(UsageError, match=named):
        TrialJournal(trials, resume=True).check(options(**changes).settings(data))
    TrialJournal(trials, resume=True).check(options(trials=99).settings(data))
    add_line(path, image="0.png", question="what is it?", answer="red")
    with pytest.raises(UsageError, match="another DATA"):
        TrialJournal(trials, resume=True).check(options().settings(Jsonl(str(path))))


def test_within_a_loss_the_cheapest_wins(loaded, path):
    found = tuned(loaded, path, options(budget=None, tolerate=0.5, trials=6))
    assert found.search.budget is None
    kept = [trial for trial in found.trials if trial.loss <= 0.5]
    assert found.best.cost.share == min(trial.cost.share for trial in kept)
    assert len({round(trial.asked, 3) for trial in found.trials}) > 2
    assert found.tolerated in {"within", "beyond", "unsure"}
    assert found.sides[0].arms[1].cost.share == pytest.approx(found.best.cost.share, abs=0.06)
    none = tuned(loaded, path, options(budget=None, tolerate=1e-9, trials=1))
    assert none.trials[0].loss > 0
    assert (none.tuned, none.sides, none.tolerated) == (None, (), None)


def test_by_score_answers_are_scored(loaded, path, tmp_path):
    with pytest.raises(UsageError, match="none of the calibration rows right"):
        tuned(loaded, path, options(by_score=True))
    journal = TrialJournal(None)
    given = options(by_score=True, held_out=Jsonl(str(path)), trials=1)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    said = {"answers": _answers(loaded, path)}
    easy = tmp_path / "easy.jsonl"
    easy.write_text("\n".join(json.dumps(line | said) for line in lines), encoding="utf-8")
    found = tuned(loaded, easy, given, journal)
    assert found.search.by == "exact_match"
    for trial in found.trials:
        assert (trial.quality.kl, trial.value) == (None, 1 - trial.quality.score.mean)
    assert found.sides[0].arms[0].quality.score.mean == 1.0
    calibration, held_out = found.sides
    assert found.carries_over == held_out.score.verdict
    assert (calibration.arms[0].loss, held_out.arms[0].loss) == (0.0, None)  # nothing to lose


def _answers(loaded, path):
    """What dense says, of all questions."""
    from v2drop_cli.bench.answering import answer
    from v2drop_cli.bench.arms import Arm
    from v2drop_cli.measure.clock import clock_for
    from v2drop_cli.records import DENSE

    found = []
    for row in Jsonl(str(path)).rows():
        inputs = loaded.prepare(row.show(2), row.prompt)
        [said] = answer(loaded, inputs, Arm(DENSE), clock_for(loaded.device), 2)
        found.append(loaded.decode(said.tokens))
    return found


def test_an_interrupt_keeps_what_was_found(loaded, path):
    def check():
        if len(journal.results) == 2:
            raise KeyboardInterrupt

    journal = TrialJournal(None)
    found = tuned(loaded, path, journal=journal, watch=Watch(check=check))
    assert (found.partial, len(found.trials), found.sides) == (True, 2, ())
    assert found.tuned is not None


def test_of_all_methods_those_that_follow_counts_are_tried(loaded, path):
    found = tuned(loaded, path, options(methods=("all",), trials=1))
    assert {"v2drop", "random", "uniform", "fastv"} <= set(found.search.methods)
    assert not {"vtw", "sparsevlm", "evs"} & set(found.search.methods)
    with pytest.raises(ScheduleError, match="all vision tokens or none"):
        tuned(loaded, path, options(methods=("vtw",)))


def test_what_cannot_be_met_or_held_out_is_told(loaded, path, tmp_path):
    with pytest.raises(ScheduleError, match="cannot be met by v2drop"):
        tuned(loaded, path, options(budget="2"))
    one = write_questions(tmp_path, 1)
    with pytest.raises(UsageError, match="no rows are left") as caught:
        tuned(loaded, one, options(trials=1, held_out=None))
    assert "--holdout" in caught.value.hint
