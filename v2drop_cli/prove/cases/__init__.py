"""Tiny random-weight models of every family, for exact tests. One file per family."""

from __future__ import annotations

import importlib

from v2drop_cli.prove.cases.case import Case

# family name → where its case is; a test compares this with the registry.
NAMES = (
    "llava",
    "qwen2_vl",
    "qwen2_5_vl",
    "llava_onevision",
    "llava_next",
    "idefics3",
    "smolvlm",
    "qwen3_vl",
    "qwen3_vl_moe",
    "llava_next_video",
    "internvl",
    "glm4v",
    "glm4v_moe",
    "mistral3",
    "video_llava",
    "paligemma",
)
# Further architectures of a family, for the matrix and the processors.
VARIANTS = ("pixtral",)
CASES: dict[str, Case] = {
    name: importlib.import_module(f"v2drop_cli.prove.cases.{name}").CASE for name in (*NAMES, *VARIANTS)
}
