"""Which proofs a machine is asked for."""

from __future__ import annotations

import pytest
import torch

from tests.families import CASES
from v2drop_cli.models.registry import ATTENTION, FAMILIES
from v2drop_cli.prove import plan
from v2drop_cli.prove.cases import NAMES, VARIANTS, cases_of, get_case
from v2drop_cli.prove.plan import Asked, holds
from v2drop_cli.prove.proof import ENTRY, Proof

CPU, GPU = torch.device("cpu"), torch.device("cuda")  # the latter need not be here: it is a name


def kinds(cells):
    return {(cell.dtype, cell.attention) for cell in cells}


def test_every_family_has_a_tiny_model():
    """A new family without one fails here, and so does a forgotten one."""
    assert set(NAMES) == set(FAMILIES)
    for name in (*NAMES, *VARIANTS):
        case = get_case(name)
        assert (case.name, case.family) == (name, VARIANTS.get(name, name))
    assert cases_of("llava") == ("llava", "pixtral")
    assert cases_of("qwen2_vl") == ("qwen2_vl",)


def test_by_default_all_families_in_two_dtypes_and_the_kernels_that_are_everywhere():
    cells, left_out = Asked().cells(CPU)
    assert {cell.case for cell in cells} == {*NAMES, *VARIANTS}
    both = ("float32", "bfloat16")
    assert kinds(cells) == {(dtype, kernel) for dtype in both for kernel in ("eager", "sdpa")}
    # One prompt counts its positions by itself, whatever its numbers are: one dtype is enough.
    entries = [cell for cell in cells if cell.drops == ENTRY]
    assert len(set(entries)) == len(entries) == (len(CASES) - 2) * (4 + 2)
    assert {cell.case for cell in cells} - {cell.case for cell in entries} == {
        "qwen3_vl",
        "qwen3_vl_moe",
    }
    assert len(set(cells) - set(entries)) == len(CASES) * 4 * 2
    assert [row.attention for row in left_out] == list(ATTENTION[2:])
    assert {row.ok for row in left_out} == {None}
    assert all(row.reason for row in left_out)


def test_on_a_gpu_the_flash_kernels_that_are_installed_in_half_precision(monkeypatch):
    monkeypatch.setattr(plan, "_installed", lambda kernel: kernel == "flash_attention_3")
    cells, left_out = Asked("llava").cells(GPU)
    flash = {kind for kind in kinds(cells) if "flash" in kind[1]}
    assert flash == {("bfloat16", "flash_attention_3")}
    others = {row.attention: row.reason for row in left_out}
    assert list(others) == ["flex_attention", "flash_attention_2", "flash_attention_4"]
    assert "not installed" in others["flash_attention_2"]
    assert "ask for it" in others["flex_attention"]


@pytest.mark.parametrize(
    ("asked", "device", "wanted"),
    [
        (Asked("llava", "float16", "sdpa"), CPU, {("float16", "sdpa")}),
        (Asked("llava", "float16", "flex_attention"), GPU, {("float16", "flex_attention")}),
        (Asked("llava", "float16", "flex_attention"), CPU, set()),  # could take the process down
        (Asked("llava", "auto", "flash_attention_2"), CPU, set()),
        (Asked("llava", "float32", "flash_attention_2"), GPU, set()),
        # Whether it is installed is found out by trying: transformers may have a way of its own.
        (Asked("llava", "auto", "flash_attention_2"), GPU, {("bfloat16", "flash_attention_2")}),
    ],
)
def test_what_is_asked_for_by_name(asked, device, wanted):
    cells, left_out = asked.cells(device)
    assert kinds(cells) == wanted
    assert bool(left_out) == (not wanted)


def test_packages_of_kernels_are_asked_of_transformers():
    from transformers.utils.import_utils import is_flash_attn_2_available

    assert plan._installed("flash_attention_2") == is_flash_attn_2_available()
    assert plan._installed("flash_attention_9") is False


def test_a_machine_where_nothing_was_proven_has_not_passed():
    def rows(*answers):
        return [Proof("llava", "llava", "cpu", "float32", "sdpa", "image", ok) for ok in answers]

    assert holds(rows(True, None))
    assert not holds(rows(True, False))
    assert not holds(rows(None))
    assert not holds([])
