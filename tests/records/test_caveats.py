"""Caveats: codes are a contract, words have one owner, and nothing compares words."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2drop_cli.records import Caveat, CaveatKind

PACKAGE = Path(__file__).parents[2] / "v2drop_cli"

CODES = {
    *("dummy_weights", "synthetic_input", "device_cpu", "null_off"),
    *("counts_by_method", "method_left_out", "positions_kept"),
    *("budget_moved", "budget_split", "budget_tried", "budget_missed"),
    *("image_quirk", "image_range_stretched", "image_profile_ignored", "animated_first_frame"),
    *("video_alpha_ignored", "video_stream_chosen", "video_fewer_frames", "video_uneven_frames"),
    *("video_broken_tail", "video_frames_skipped", "video_times_estimated", "video_tone_mapped"),
    *("fewer_frames", "alias_shadows_folder", "adapter_not_applied", "unused_weights"),
    *("processor_completed", "generation_config_set_aside", "decoder_unproven"),
    *("beyond_context", "library_warning", "transformers_untested"),
    *("gpu-slowed", "gpu-power-cap", "gpu-shared", "nvml-unavailable", "nvml-{question}"),
    *("no-peak-rss", "same-report", "no-null", "partial", "{code}"),
}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def is_none_test(node: ast.Compare) -> bool:
    return all(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops)


def test_codes_only_grow():
    assert {kind.code for kind in CaveatKind} >= CODES
    assert len({kind.code for kind in CaveatKind}) == len(CaveatKind)


def test_nobody_else_makes_a_caveat():
    for path, tree in trees():
        made = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "Caveat"
        ]
        assert not made or path.name == "caveats.py", path


def test_nobody_compares_words():
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and not is_none_test(node):
                names = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
                assert not names & {"message", "words"}, f"{path}:{node.lineno}"


def test_every_kind_is_made_somewhere_with_the_facts_of_its_words():
    made: dict[str, list[set[str]]] = {}
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("CaveatKind."):
                name = ast.unparse(node.func).split(".")[1]
                made.setdefault(name, []).append({word.arg or "**" for word in node.keywords})
    assert set(made) == {kind.name for kind in CaveatKind}
    for name, calls in made.items():
        kind = CaveatKind[name]
        for given in calls:
            assert given == fields(kind.words) | fields(kind.code), name


def test_words_are_filled_in_and_braces_in_facts_are_left_alone():
    found = CaveatKind.NVML_SILENT.caveat(question="power-w", asked="power_w", reason="{no}")
    assert found == Caveat("nvml-power-w", "NVML did not answer power_w: {no}")
    assert "1,234 tokens" in CaveatKind.BEYOND_CONTEXT.caveat(prompt=1234, new=1, context=9).message
    with pytest.raises(KeyError):
        CaveatKind.GPU_SHARED.caveat()
