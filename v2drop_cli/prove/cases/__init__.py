"""Tiny random-weight models of every family. One file per family, imported when asked for."""

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
    "granite4_vision",
    "qwen2_5_omni",
    "qwen3_omni_moe",
    "kimi_k25",
    "gemma4",
    "gemma4_unified",
    "vipllava",
    "qianfan_ocr",
    "janus",
    "lighton_ocr",
    "got_ocr2",
    "hyperclovax_vision_v2",
    "granite_docling",
    "perception_lm",
    "llama4",
    "cohere_compass",
    "step3p7",
    "cohere2_vision",
    "aya_vision",
    "exaone4_5",
    "idefics2",
    "muse_glimmer",
    "gemma3",
    "glm46v",
    "glm_ocr",
    "ovis2",
    "paddleocr_vl",
    "hunyuan_vl",
    "video_llama_3",
    "aria",
    "deepseek_vl",
    "fast_vlm",
    "deepseek_ocr2",
    "qwen3_5",
    "qwen3_5_moe",
    "cosmos3_edge",
    "lfm2_vl",
    "lfm3_vl",
    "minicpmv4_6",
    "minicpmv4_7",
    "molmo2",
    "dots3_note",
    "nemotron_h_omni",
    "qwen4_exp",
    "fuyu",
    "gemma3n",
    "glm5_next",
    "mistral_large4",
    "unlimited_ocr",
    "phi4_multimodal",
)
# The first release of transformers tested that has a model, where the oldest one lacks it, or has
# another class that its tiny configuration does not fit.
SINCE = {
    "granite4_vision": "5.23",
    "gemma4": "5.23",
    "gemma4_large": "5.23",
    "gemma4_shared": "5.23",
    "gemma3n": "5.23",
    "gemma4_unified": "5.23",
    "hyperclovax_vision_v2": "5.23",
    "granite_docling": "5.23",
    "minicpmv4_7": "5.23",
    "molmo2": "5.23",
    "lfm3_vl": "5.23",
    "muse_spark": "5.23",
    "dots3_note": "5.23",
    "nemotron_h_omni": "5.23",
    "qwen4_exp": "5.23",
    "fuyu": "5.23",
    "glm5_next": "5.23",
    "mistral_large4": "5.23",
    "unlimited_ocr": "5.23",
}
# Further architectures of a family, each with its family's name.
VARIANTS = {
    "gemma4_large": "gemma4",
    "gemma4_shared": "gemma4",
    "cosmos3_omni": "qwen3_vl",
    "paligemma2": "paligemma",
    "pixtral": "llava",
    "ministral3": "mistral3",
    "mistral4": "mistral3",
    "glmga": "glm46v",
    "muse_spark": "muse_glimmer",
    "deepseek_vl_hybrid": "deepseek_vl",
}


def get_case(name: str) -> Case:
    """The tiny model called ``name``: a family's, or a variant's.

    Raises:
        ImportError: this transformers has no such model.
    """
    case: Case = importlib.import_module(f"v2drop_cli.prove.cases.{name}").CASE
    return case


def cases_of(family: str) -> tuple[str, ...]:
    """Names of the tiny models of a family, its variants' among them."""
    return (family, *(name for name, of in VARIANTS.items() if of == family))
