"""`v2drop doctor --prove`."""

from __future__ import annotations

import json

import pytest
import torch

from tests.families import CASES
from tests.prove.faults import FAULTS
from v2drop_cli.cli.proving import checks
from v2drop_cli.prove.cases.case import TEXT
from v2drop_cli.prove.proof import Proof

QUICK = ("--dtype", "float32", "--attn-implementation", "eager")


@pytest.fixture
def configuration(tmp_path):
    """A `config.json` of a Qwen2-VL, and nothing else of it."""
    case = CASES["qwen2_vl"]
    (tmp_path / "config.json").write_text(case.config(TEXT, case.ids).to_json_string(False))
    return tmp_path


def test_findings_and_proof_in_one_document(v2drop, configuration):
    """The family is told by the configuration; without the flag, the findings are the same."""
    result = v2drop("doctor", "--prove", "--model", configuration, *QUICK, "--json")
    found = json.loads(result.out)
    assert list(found) == ["schema", "model", "findings", "proof"]
    plain = json.loads(v2drop("doctor", "--model", configuration, "--json").out)
    assert list(plain) == ["schema", "model", "findings"]
    names = [[row["name"] for row in document["findings"]] for document in (found, plain)]
    assert names[0] == names[1]
    assert [(row["case"], row["prompts"], row["ok"]) for row in found["proof"]] == [
        ("qwen2_vl", "image", True),
        ("qwen2_vl", "ragged", True),
        ("qwen2_vl", "image", True),
        ("qwen2_vl", "ragged", True),
    ]
    drops = [row["drops"] for row in found["proof"]]
    assert drops == ["layers", "layers", "entry", "entry"]
    for row in found["proof"]:
        assert 0 <= row["dropped_error"] <= row["allowed"] == 1e-4 < row["masked_change"]
    assert result.code == (1 if any(row["ok"] is False for row in found["findings"]) else 0)
    assert "comparisons of tiny models" in result.err


def test_an_alias_says_its_family_and_the_variants_are_proven_too(v2drop):
    result = v2drop("doctor", "--prove", "--model", "tiny", *QUICK)
    assert "ok    llava float32 eager" in result.out
    assert "ok    pixtral float32 eager" in result.out
    assert "2 of 2 hold" in result.out
    assert "qwen" not in result.out


def test_what_does_not_hold_leaves_with_1(v2drop, monkeypatch, configuration):
    monkeypatch.setattr(*FAULTS["position: renumbered"])
    result = v2drop("doctor", "--prove", "--model", configuration, *QUICK)
    assert result.code == 1
    assert "FAIL  qwen2_vl float32 eager" in result.out
    assert "0 of 1 hold" in result.out


def test_a_kernel_asked_for_by_name_that_is_not_here_leaves_with_1(v2drop, configuration):
    kernel = ("--attn-implementation", "flash_attention_2", "--device", "cpu")
    result = v2drop("doctor", "--prove", "--model", configuration, *kernel, "--json")
    [row] = json.loads(result.out)["proof"]
    assert (result.code, row["ok"], row["attention"]) == (1, None, "flash_attention_2")
    assert "CUDA GPU" in row["reason"]
    assert "nothing was proven" in v2drop("doctor", "--prove", "--model", "tiny", *kernel).out


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_a_device_that_is_not_there_proves_nothing(v2drop):
    result = v2drop("doctor", "--prove", "--device", "cuda", "--json")
    [row] = json.loads(result.out)["proof"]
    assert (result.code, row["ok"], row["device"]) == (1, False, "cuda")
    assert "no CUDA device" in row["reason"]


def test_what_cannot_be_asked_for(v2drop, tmp_path):
    v2drop("doctor", "--prove", "--model", "tinny").refused(2, "did you mean tiny")
    v2drop("doctor", "--attn-implementation", "sdpa").refused(2, "--prove")
    v2drop("doctor", "--prove", "--attn-implementation", "sdqa").refused(2, "did you mean sdpa")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    v2drop("doctor", "--prove", "--model", tmp_path).refused(1, "no family serves", "bert")


def row(ok, prompts="image", error=None, reason=None):
    return Proof("llava", "llava", "cpu", "bfloat16", "sdpa", prompts, ok, error, 0.05, 0.15,
                 reason=reason)  # fmt: skip


def test_a_line_is_the_worst_of_its_prompts():
    line, _ = checks([row(True, error=0.01), row(True, "ragged", error=0.02)])
    assert (line.ok, "2.0e-02" in line.detail) == (True, True)
    line, _ = checks([row(False, reason="it broke"), row(True, "ragged", error=0.02)])
    assert (line.ok, line.detail) == (False, "image: it broke")
    line, last = checks([row(True, error=0.01), row(None, "ragged", reason="not here")])
    assert (line.ok, line.detail) == (None, "ragged: not here")
    assert last.ok is False  # nothing is left that holds
