"""Which text decoders dropping serves: a list of those that were tried, and reasons against others.

One family may hold many decoders: LLaVA alone is published around Llama, Mistral, Qwen and more.
"""

from __future__ import annotations

from typing import Any

from v2drop_cli.records import Caveat, CaveatKind

PROVEN = frozenset({
    "apertus", "arcee", "aria_text", "axk1", "bitnet", "cohere", "deepseek_v3", "diffllama",
    "dots1", "ernie4_5", "ernie4_5_moe", "exaone4", "flex_olmo", "gemma", "glm", "glm4", "glm4_moe",
    "glm4_moe_lite", "glm4v_moe_text", "glm4v_text", "granite", "granitemoe", "granitemoeshared",
    "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "hyperclovax", "internlm3",
    "iquestcoder", "jais2", "jetmoe", "lfm2", "llama", "mellum", "minicpm3", "minimax_m2",
    "mistral", "mixtral", "nanochat", "nemotron", "olmo", "olmo2", "olmoe", "persimmon", "phi",
    "phi3", "phimoe", "qwen2", "qwen2_5_vl_text", "qwen2_moe", "qwen2_vl_text", "qwen3",
    "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_vl_moe_text", "qwen3_vl_text",
    "seed_oss", "smollm3", "solar_open", "stablelm", "starcoder2", "youtu",
})  # fmt: skip
"""``model_type`` of the decoders in which physical dropping gives what masking gives: a test drops
in each. Windows and other kinds of layers are refused in these too."""

NO_COLUMNS = frozenset({"linear_attention", "conv"})
"""Kinds of layers, as in ``layer_types``, that keep no keys and values of each token: they fold
the tokens into a state of a fixed size, or into the last few of a convolution."""


def no_columns(text: Any) -> frozenset[int]:
    """The layers of a decoder that keep no columns, from its configuration."""
    kinds = getattr(text, "layer_types", None) or ()
    return frozenset(layer for layer, kind in enumerate(kinds) if kind in NO_COLUMNS)


_COMPLEX = "its layers are handed rotary tables of complex numbers, which are not shortened"
# And flash kernels would read gaps in position ids as packing.
_SCALES = "its decoder scales queries by position ids, which shortened layers are not given"
# model_type → why it cannot be served, whatever the user allows.
_WRONG = {
    "deepseek_v2": _COMPLEX,
    "doge": "its attention makes masks of its own from all tokens, at full length",
    "llama4_text": _COMPLEX,
    "ministral3": _SCALES,
    "mistral4": _SCALES,
}


def refuse_decoder(config: Any, *, two_way: bool = False, folds: bool = False) -> str | None:
    """Why no family can serve this decoder: a window, for one, counts columns, dropped ones too.

    Args:
        config: the model's.
        two_way: the family knows which columns attend in both directions, see ``Family.blocks``.
        folds: the family's layers that fold tokens into a state leave padding out of it.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or []) - {"full_attention"}
    if folds:
        kinds -= NO_COLUMNS
    if getattr(text, "sliding_window", None) or "sliding_attention" in kinds:
        return "its decoder uses sliding-window attention, whose windows count dropped tokens"
    if text.model_type in _WRONG:
        return _WRONG[text.model_type]
    if kinds:
        return f"its decoder has layers other than full attention: {', '.join(sorted(kinds))}"
    # transformers' mask function looks at the first, Gemma's attention at the second.
    if not getattr(text, "is_causal", True):
        return "its decoder attends in both directions (is_causal=False)"
    if getattr(text, "use_bidirectional_attention", None) and not two_way:
        return "its decoder attends in both directions (use_bidirectional_attention=True)"
    return None


def unproven(config: Any) -> str | None:
    """The ``model_type`` of a decoder in which nobody has proven dropping, or ``None``."""
    name: str = config.get_text_config().model_type
    return None if name in PROVEN else name


def unproven_caveats(config: Any) -> tuple[Caveat, ...]:
    """What a report about this decoder must say of it; nothing if it was proven."""
    name = unproven(config)
    if name is None:
        return ()
    return (CaveatKind.DECODER_UNPROVEN.caveat(decoder=name),)


def refuse_folding(config: Any) -> str | None:
    """As :func:`refuse_decoder`, of a family whose layers leave padding out of their states."""
    return refuse_decoder(config, folds=True)


def refuse_flash(config: Any, why: str) -> str | None:
    """``why``, if the decoder runs flash kernels."""
    return why if "flash" in str(config.get_text_config()._attn_implementation) else None
