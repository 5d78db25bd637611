"""The models whose work is counted."""

from __future__ import annotations

COUNTED = frozenset({
    "apertus", "arcee", "aria", "beam", "bitnet", "cohere", "cohere2", "cohere2_moe",
    "cohere_compass", "cosmos3_edge", "cwm", "deepseek_ocr2", "deepseek_v3", "dots1", "dots3_note",
    "ernie4_5", "exaone4", "exaone_moe", "flex_olmo", "flint", "gemma", "gemma2", "gemma3",
    "gemma3n", "gemma4", "gemma4_unified", "glm", "glm4", "glm4_moe", "glm4v", "glm4v_moe",
    "glm5_next", "glm_ocr", "granite", "granite4_vision", "granite_docling", "granite_swa",
    "granitemoe", "granitemoe_swa", "granitemoeshared", "helium", "hunyuan_v1_dense", "hunyuan_vl",
    "hy_v3", "hyperclovax", "internlm3", "iquestcoder", "jais2", "kolibri1", "laguna", "lfm2",
    "lfm3", "llama", "llama4", "mellum", "minimax_m2", "ministral", "ministral3", "mistral",
    "mistral4", "mistral_large4", "mixtral", "molmo2", "muse_glimmer", "muse_spark", "nanochat",
    "nemotron", "nemotron_h", "olmo", "olmo2", "olmo3", "olmoe", "paddleocr_vl", "persimmon", "phi",
    "phi3", "phi4_multimodal", "phimoe", "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_moe",
    "qwen2_vl", "qwen3", "qwen3_5", "qwen3_5_moe", "qwen3_moe", "qwen3_omni_moe", "qwen3_vl",
    "qwen3_vl_moe", "qwen4_exp", "seed_oss", "smollm3", "solar_open", "stablelm", "starcoder2",
    "step3p7", "unlimited_ocr", "vaultgemma",
})  # fmt: skip
"""Models of transformers whose decoder layers do what the formula says: tests hold each against
torch's counter. Shapes alone do not tell: DiffLlama has the projections of Llama, and multiplies
its attention with twice the values."""
