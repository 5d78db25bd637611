"""The document of a sweep: read back as it was written, and refused where it makes no sense."""

from __future__ import annotations

import json

import pytest

from tests.report import factory, sweeps
from v2drop_cli.errors import UsageError
from v2drop_cli.records.reading import read_report, read_sweep


def written(folder, document):
    path = folder / "sweep.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("sweep", [sweeps.sweep(), sweeps.batches()], ids=["frames", "batch"])
def test_a_sweep_is_read_back_as_it_was(tmp_path, sweep):
    path = tmp_path / "sweep.json"
    path.write_text(sweep.dumps())
    assert read_sweep(path) == sweep


def test_keys_of_a_later_version_are_let_through(tmp_path):
    document = sweeps.sweep().to_json() | {"weather": "fair"}
    assert read_sweep(written(tmp_path, document)) == sweeps.sweep()


def first(document):
    return document["curves"][0]["points"][0]


WRONG = [
    (lambda d: d.update(schema="v2drop.sweep/2"), "is not known"),
    (lambda d: d.pop("sizes"), "sizes is missing"),
    (lambda d: d.update(sizes=[16, 8, 32]), "sizes do not grow"),
    (lambda d: d["curves"][1].update(label="dense"), "two curves have the same label"),
    (lambda d: first(d).update(size=9), "curves[0].points[0].size is 9"),
    (lambda d: first(d).update(rows=-1), "curves[0].points[0].rows is negative"),
    (lambda d: first(d).update(outcome=7), "curves[0].points[0].outcome is 7"),
    (lambda d: first(d)["prefill_s"].update(median=99.0), "prefill_s.median is not among"),
    (
        lambda d: d.update(
            throughput=[
                {"arm": "x", "size": 8, "requests_per_s": 1.0, "gain": None, "verdict": None}
            ]
        ),
        "throughput[0].arm is 'x', which is no curve",
    ),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_makes_no_sense_is_refused(tmp_path, change, said):
    document = json.loads(sweeps.sweep().dumps())
    change(document)
    with pytest.raises(UsageError) as refused:
        read_sweep(written(tmp_path, document))
    assert said in refused.value.message


def test_an_exponent_may_be_negative(tmp_path):
    document = json.loads(sweeps.sweep().dumps())
    document["curves"][0]["growth"]["prefill_time"]["exponent"] = -0.5
    assert read_sweep(written(tmp_path, document)).curves[0].growth.prefill_time.exponent == -0.5


def test_a_report_is_no_sweep_and_a_sweep_no_report(tmp_path):
    with pytest.raises(UsageError, match="a document of v2drop sweep"):
        read_report(written(tmp_path, sweeps.sweep().to_json()))
    with pytest.raises(UsageError, match="a document of v2drop run"):
        read_sweep(written(tmp_path, factory.report().to_json()))
