"""Families by ``model_type``; each is imported when asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import UnsupportedModelError, unknown_name
from v2drop_cli.models.decoders import unproven
from v2drop_cli.models.refused import REFUSED

if TYPE_CHECKING:
    from v2drop_cli.models.base import Family

# family name → where it is; the file in this folder has the family's name.
FAMILIES: dict[str, str] = {
    "llava": "v2drop_cli.models.families.llava:LLAVA",
    "qwen2_vl": "v2drop_cli.models.families.qwen2_vl:QWEN2_VL",
    "qwen2_5_vl": "v2drop_cli.models.families.qwen2_5_vl:QWEN2_5_VL",
    "llava_onevision": "v2drop_cli.models.families.llava_onevision:LLAVA_ONEVISION",
    "llava_next": "v2drop_cli.models.families.llava_next:LLAVA_NEXT",
    "idefics3": "v2drop_cli.models.families.idefics3:IDEFICS3",
    "smolvlm": "v2drop_cli.models.families.smolvlm:SMOLVLM",
    "qwen3_vl": "v2drop_cli.models.families.qwen3_vl:QWEN3_VL",
    "qwen3_vl_moe": "v2drop_cli.models.families.qwen3_vl_moe:QWEN3_VL_MOE",
    "llava_next_video": "v2drop_cli.models.families.llava_next_video:LLAVA_NEXT_VIDEO",
    "internvl": "v2drop_cli.models.families.internvl:INTERNVL",
    "glm4v": "v2drop_cli.models.families.glm4v:GLM4V",
    "glm4v_moe": "v2drop_cli.models.families.glm4v_moe:GLM4V_MOE",
    "mistral3": "v2drop_cli.models.families.mistral3:MISTRAL3",
    "video_llava": "v2drop_cli.models.families.video_llava:VIDEO_LLAVA",
    "paligemma": "v2drop_cli.models.families.paligemma:PALIGEMMA",
    "granite4_vision": "v2drop_cli.models.families.granite4_vision:GRANITE4_VISION",
    "qwen2_5_omni": "v2drop_cli.models.families.qwen2_5_omni:QWEN2_5_OMNI",
    "qwen3_omni_moe": "v2drop_cli.models.families.qwen3_omni_moe:QWEN3_OMNI_MOE",
    "kimi_k25": "v2drop_cli.models.families.kimi_k25:KIMI_K25",
    "gemma4": "v2drop_cli.models.families.gemma4:GEMMA4",
    "gemma4_unified": "v2drop_cli.models.families.gemma4_unified:GEMMA4_UNIFIED",
    "vipllava": "v2drop_cli.models.families.vipllava:VIPLLAVA",
    "qianfan_ocr": "v2drop_cli.models.families.qianfan_ocr:QIANFAN_OCR",
    "janus": "v2drop_cli.models.families.janus:JANUS",
    "lighton_ocr": "v2drop_cli.models.families.lighton_ocr:LIGHTON_OCR",
    "got_ocr2": "v2drop_cli.models.families.got_ocr2:GOT_OCR2",
    "hyperclovax_vision_v2": "v2drop_cli.models.families.hyperclovax_vision_v2:HYPERCLOVAX",
    "granite_docling": "v2drop_cli.models.families.granite_docling:GRANITE_DOCLING",
    "step3p7": "v2drop_cli.models.families.step3p7:STEP3P7",
    "cohere_compass": "v2drop_cli.models.families.cohere_compass:COHERE_COMPASS",
    "perception_lm": "v2drop_cli.models.families.perception_lm:PERCEPTION_LM",
    "llama4": "v2drop_cli.models.families.llama4:LLAMA4",
    "cohere2_vision": "v2drop_cli.models.families.cohere2_vision:COHERE2_VISION",
    "aya_vision": "v2drop_cli.models.families.aya_vision:AYA_VISION",
    "exaone4_5": "v2drop_cli.models.families.exaone4_5:EXAONE4_5",
    "idefics2": "v2drop_cli.models.families.idefics2:IDEFICS2",
    "muse_glimmer": "v2drop_cli.models.families.muse_glimmer:MUSE_GLIMMER",
    "gemma3": "v2drop_cli.models.families.gemma3:GEMMA3",
    "glm46v": "v2drop_cli.models.families.glm46v:GLM46V",
    "glm_ocr": "v2drop_cli.models.families.glm_ocr:GLM_OCR",
    "ovis2": "v2drop_cli.models.families.ovis2:OVIS2",
    "paddleocr_vl": "v2drop_cli.models.families.paddleocr_vl:PADDLEOCR_VL",
    "hunyuan_vl": "v2drop_cli.models.families.hunyuan_vl:HUNYUAN_VL",
    "video_llama_3": "v2drop_cli.models.families.video_llama_3:VIDEO_LLAMA_3",
    "aria": "v2drop_cli.models.families.aria:ARIA",
    "deepseek_vl": "v2drop_cli.models.families.deepseek_vl:DEEPSEEK_VL",
    "fast_vlm": "v2drop_cli.models.families.fast_vlm:FAST_VLM",
    "deepseek_ocr2": "v2drop_cli.models.families.deepseek_ocr2:DEEPSEEK_OCR2",
    "qwen3_5": "v2drop_cli.models.families.qwen3_5:QWEN3_5",
    "qwen3_5_moe": "v2drop_cli.models.families.qwen3_5_moe:QWEN3_5_MOE",
    "cosmos3_edge": "v2drop_cli.models.families.cosmos3_edge:COSMOS3_EDGE",
    "lfm2_vl": "v2drop_cli.models.families.lfm2_vl:LFM2_VL",
    "lfm3_vl": "v2drop_cli.models.families.lfm3_vl:LFM3_VL",
    "minicpmv4_6": "v2drop_cli.models.families.minicpmv4_6:MINICPMV4_6",
    "molmo2": "v2drop_cli.models.families.molmo2:MOLMO2",
    "minicpmv4_7": "v2drop_cli.models.families.minicpmv4_7:MINICPMV4_7",
    "dots3_note": "v2drop_cli.models.families.dots3_note:DOTS3_NOTE",
    "nemotron_h_omni": "v2drop_cli.models.families.nemotron_h_omni:NEMOTRON_H_OMNI",
    "qwen4_exp": "v2drop_cli.models.families.qwen4_exp:QWEN4_EXP",
    "fuyu": "v2drop_cli.models.families.fuyu:FUYU",
    "gemma3n": "v2drop_cli.models.families.gemma3n:GEMMA3N",
    "glm5_next": "v2drop_cli.models.families.glm5_next:GLM5_NEXT",
    "mistral_large4": "v2drop_cli.models.families.mistral_large4:MISTRAL_LARGE4",
    "unlimited_ocr": "v2drop_cli.models.families.unlimited_ocr:UNLIMITED_OCR",
    "phi4_multimodal": "v2drop_cli.models.families.phi4_multimodal:PHI4_MULTIMODAL",
}

# What `--dtype` and `--attn-implementation` know; "auto" leaves the choice to the loader.
DTYPES = ("auto", "float32", "float16", "bfloat16")
ATTENTION = (
    "eager",
    "sdpa",
    "flex_attention",
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
)


def check_choice(kind: str, name: str, known: tuple[str, ...]) -> None:
    """Raise :class:`~v2drop_cli.errors.UnknownNameError` unless ``name`` is one of ``known``."""
    if name not in known:
        raise unknown_name(kind, name, known)


def get_family(name: str) -> Family:
    """The family called ``name``."""
    module, attribute = FAMILIES[name].split(":")
    family: Family = getattr(importlib.import_module(module), attribute)
    return family


def family_types() -> frozenset[str]:
    """Every ``model_type`` that some family serves."""
    return frozenset(kind for name in FAMILIES for kind in get_family(name).model_types)


def family_for(config: Any, *, allow_unproven: bool = False) -> Family:
    """The family that serves ``config.model_type``.

    Args:
        config: the model's.
        allow_unproven: serve a decoder in which nobody has proven dropping.

    Raises:
        UnsupportedModelError: no family does, or the model type or this configuration is
            refused, with the reason.
    """
    model_type = getattr(config, "model_type", None)
    for name in FAMILIES:
        family = get_family(name)
        if model_type in family.model_types:
            reason = family.refusal(config)
            if reason is not None:
                raise UnsupportedModelError(f"cannot drop in this {family.name} model: {reason}")
            decoder = unproven(config)
            if decoder is not None and not allow_unproven:
                raise UnsupportedModelError(
                    f"cannot drop in this {family.name} model: dropping was never proven in a "
                    f"{decoder} decoder",
                    hint="--allow-unproven (allow_unproven=True) does it, and the report says so",
                )
            return family
    raise unserved(model_type)


def unserved(model_type: Any) -> UnsupportedModelError:
    """The error for a ``model_type`` that no family serves, with the reason where one is known."""
    message = f"no family serves model_type {model_type!r}"
    if model_type in REFUSED:
        message = f"{message}: {REFUSED[model_type]}"
    return UnsupportedModelError(message, hint=f"served: {', '.join(sorted(family_types()))}")
