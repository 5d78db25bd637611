"""A proof holds for every family, and does not for what is wrong."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch

from tests.families import CASES, FIRST, NAMES, VARIANTS
from tests.matrix.flash import NAME, recorded
from tests.prove.faults import ENTRY_FAULTS, FAULTS
from v2drop_cli.instrument.trace import DropTrace
from v2drop_cli.prove import proof as room
from v2drop_cli.prove.cases import get_case
from v2drop_cli.prove.plan import BATCHES
from v2drop_cli.prove.proof import ENTRY, LAYERS, Cell, Prover
from v2drop_cli.prove.reference import Loss, Reference

CPU = torch.device("cpu")
DTYPES = ["float32", "bfloat16"]
SUBTLE = "position: shifted"


@pytest.fixture(scope="module")
def prover():
    """What is made once has the oracle's numbers: no fault reaches it."""
    return Prover(CPU)


def cell(name, dtype="float32", attention="sdpa", prompts="ragged", drops=LAYERS):
    return Cell(VARIANTS.get(name, name), name, "cpu", dtype, attention, prompts, drops=drops)


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("name", "dtype"),
    # In float32 tests/matrix holds every family against the same oracle.
    [(name, dtype) for name in (*NAMES, *VARIANTS) for dtype in DTYPES
     if dtype != "float32" or name in FIRST],
)  # fmt: skip
def test_it_holds_for_every_family(prover, name, dtype):
    # In float32 the matrix holds all of them against the same oracle; what a short number costs in
    # each shows in the very first families.
    kernels = CASES[name].attention
    for attention in kernels if dtype == "bfloat16" and name in NAMES[:4] else kernels[-1:]:
        for prompts, drops in BATCHES:
            if drops == ENTRY and get_case(name).entry is None:
                continue
            found = prover.prove(cell(name, dtype, attention, prompts, drops))
            assert found.drops == drops
            assert found.ok is True, found
            assert found.reason is None
            assert found.dropped_error <= found.allowed < found.masked_change
            assert found.dropped_rms <= found.allowed_rms
            assert (found.family, found.case) == (VARIANTS.get(name, name), name)
            if dtype == "float32":
                assert found.allowed == 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "glm4v_moe", "smolvlm"])
def test_what_is_wrong_does_not_hold(prover, monkeypatch, name, fault, dtype):
    if fault == SUBTLE and dtype != "float32":
        return  # costs less than the number format does, as the next test shows
    monkeypatch.setattr(*FAULTS[fault])
    found = prover.prove(cell(name, dtype))
    assert found.ok is False, found
    kept = "kept a token" in found.reason
    assert kept == fault.startswith("kept"), found


@pytest.mark.parametrize("fault", ENTRY_FAULTS)
@pytest.mark.parametrize("name", ["llava", "qwen2_vl", "glm4v_moe"])
def test_what_is_wrong_at_layer_0_does_not_hold(prover, monkeypatch, name, fault):
    target, attribute, wrong, prompts = ENTRY_FAULTS[fault]
    monkeypatch.setattr(target, attribute, wrong)
    found = prover.prove(cell(name, prompts=prompts, drops=ENTRY))
    assert found.ok is False, found
    assert ("evenly" in found.reason) == fault.startswith("kept")


def test_a_slight_fault_shows_in_float32_only(prover, monkeypatch):
    """Survivors one place off: between them that is right, only answers see them from afar."""
    monkeypatch.setattr(*FAULTS[SUBTLE])
    for attention in ("eager", "sdpa"):
        exact = prover.prove(cell("glm4v_moe", "float32", attention))
        assert (exact.ok, exact.dropped_error > 1000 * exact.allowed) == (False, True)
        assert prover.prove(cell("glm4v_moe", "bfloat16", attention)).ok is True


def test_in_low_precision_every_token_goes_to_all_experts(monkeypatch):
    """Where tokens choose, rounding makes other choices, and errors say nothing of dropping."""
    case = get_case("glm4v_moe")
    chosen = [case.make("eager", smooth).config.text_config for smooth in (False, True)]
    assert [config.num_experts_per_tok for config in chosen] == [2, 4]
    found = Prover(CPU).prove(cell("glm4v_moe", "bfloat16"))
    make = type(case).make
    monkeypatch.setattr(type(case), "make", lambda self, attn, smooth=False: make(self, attn))
    choosing = Prover(CPU).prove(cell("glm4v_moe", "bfloat16"))
    assert found.ok is True
    assert choosing.dropped_error > 4 * found.dropped_error


def test_dropping_nothing_does_not_hold(prover, monkeypatch):
    @contextmanager
    def idle(model, schedule, method):
        yield DropTrace()

    monkeypatch.setattr(room, "dropping", idle)
    found = prover.prove(cell("llava"))
    assert (found.ok, found.masked_change) == (False, 0.0)
    assert "proves nothing" in found.reason


def test_a_failure_while_dropping_does_not_hold(prover, monkeypatch):
    @contextmanager
    def broken(model, schedule, method):
        raise RuntimeError("\nno such kernel\nand more")
        yield

    monkeypatch.setattr(room, "dropping", broken)
    found = prover.prove(cell("llava"))
    assert (found.ok, found.reason, found.dropped_error) == (False, "no such kernel", None)


def test_logits_that_are_not_finite_do_not_hold(prover, monkeypatch):
    real = Reference.decode

    def overflowing(self, model):
        logits = real(self, model)
        return [logits[0], logits[1] * float("nan"), *logits[2:]]

    monkeypatch.setattr(Reference, "decode", overflowing)
    found = prover.prove(cell("llava"))
    assert (found.ok, found.dropped_error) == (False, None)
    assert "finite" in found.reason


def test_a_kernel_that_is_not_here_is_nothing_to_prove(prover):
    found = prover.prove(cell("llava", "bfloat16", "flash_attention_2"))
    assert (found.ok, found.dropped_error) == (None, None)
    assert "flash" in found.reason.lower()


def test_a_kernel_that_fails_in_the_dense_model_is_nothing_to_prove(prover, monkeypatch):
    from transformers import AttentionInterface

    def attention(*args, **kwargs):
        raise RuntimeError("head dimension 8 is too small")

    monkeypatch.setitem(AttentionInterface._global_mapping, "picky", attention)
    found = prover.prove(cell("qwen2_vl", attention="picky"))
    assert (found.ok, found.reason) == (None, "dense does not run: head dimension 8 is too small")


def test_a_family_that_refuses_a_kernel_says_why(prover, monkeypatch):
    with recorded(monkeypatch):
        found = prover.prove(cell("glm4v_moe", attention=NAME))
    assert found.ok is None
    assert "wrong positions" in found.reason


def test_a_model_that_this_transformers_has_not_does_not_hold(prover):
    found = prover.prove(Cell("new", "no_such_case", "cpu", "float32", "eager", "image"))
    assert found.ok is False
    assert "no_such_case" in found.reason


@pytest.fixture(scope="module")
def reference():
    case = get_case("llava")
    return Reference.of(case, case.make("eager"), CPU, "image")


def test_kept_sets_are_judged_against_the_definition(reference):
    """16 tokens in columns 4 to 19; the schedule keeps 8, 4 and 1 of them."""
    from v2drop_cli.prove.oracle import define

    _, right = define(reference.case, reference.model, reference.inputs, reference.vision)
    assert [len(row) for rows in right.values() for row in rows] == [8, 4, 1]
    assert reference.misjudged(reference.model, right) is None
    [first] = right[1]
    other = next(i for i in reference.vision[0] if i not in first)
    for kept, said in (
        ({**right, 1: [first[1:]]}, "kept 7 of 16"),
        ({**right, 1: [[3, *first[1:]]]}, "kept 7 of 16"),  # a token of text
        ({**right, 1: [sorted([*first[1:], other])]}, "moved less"),
        ({1: right[1], 3: right[3]}, "layer 5 kept 4 of 4"),
        ({**right, 2: right[3]}, "layers [2]"),
    ):
        assert said in reference.misjudged(reference.model, kept)


def test_entry_drops_are_judged_against_even_spacing(reference):
    """16 tokens in columns 4 to 19: of 8 stretches the second tokens, of those 8 every second."""
    right = {0: [[5, 7, 9, 11, 13, 15, 17, 19]], 3: [[7, 11, 15, 19]]}
    assert reference.uneven(right) is None
    for wrong in ({}, {0: right[0]}, {**right, 0: [[4, *right[0][0][1:]]]}):
        assert "other tokens" in reference.uneven(wrong)


def test_losses_by_hand():
    """Differences 0, 0 and 1 of the logits -2, 0 and 2, whose deviation is 2; a column is gone."""
    wanted = [torch.tensor([[[-2.0], [9.0], [0.0]]]), torch.tensor([[[2.0]]])]
    got = [torch.tensor([[[-2.0], [7.0], [0.0]]]), torch.tensor([[[3.0]]])]
    loss = Loss.of(got, wanted, torch.tensor([[True, False, True]]))
    assert loss.largest == pytest.approx(0.5)  # 1 / 2
    assert loss.typical == pytest.approx((0.25 / 3) ** 0.5)
    assert loss.allowed(0.1).largest == pytest.approx(1.5)
    assert Loss(0.01, 0.001).allowed(0.1) == Loss(0.1, 0.01)


def test_settings_are_as_before_afterwards(monkeypatch):
    def settings():
        return (
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.get_num_threads(),
        )

    torch.set_float32_matmul_precision("high")
    try:
        before = settings()
        with room.undisturbed():
            assert settings() == ("highest", False, 1)
        assert settings() == before
    finally:
        torch.set_float32_matmul_precision("highest")
