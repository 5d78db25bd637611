"""Which text decoders dropping serves: a list of those that were tried, and reasons against others.

One family may hold many decoders: LLaVA alone is published around Llama, Mistral, Qwen and more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.records import Caveat, CaveatKind

PROVEN = frozenset({
    "apertus", "arcee", "aria_text", "axk1", "bitnet", "cohere", "cohere2", "cohere_compass_text",
    "cosmos3_edge_text", "deepseek_ocr2_text", "deepseek_v2", "deepseek_v3", "diffllama", "dots1",
    "dots3_note_text", "ernie4_5", "ernie4_5_moe", "exaone4", "flex_olmo", "gemma", "gemma2",
    "gemma3_text", "gemma3n_text", "gemma4_text", "gemma4_unified_text", "glm", "glm4", "glm4_moe",
    "glm4_moe_lite", "glm4v_moe_text", "glm4v_text", "glm5_next_text", "glm_ocr_text", "granite",
    "granite4_vision_text", "granite_docling_text", "granitemoe", "granitemoeshared", "helium",
    "hunyuan_v1_dense", "hunyuan_v1_moe", "hunyuan_vl_text", "hy_v3", "hyperclovax", "internlm3",
    "iquestcoder", "jais2", "jetmoe", "lfm2", "lfm3", "llama", "llama4_text", "mellum", "minicpm3",
    "minimax_m2", "ministral3", "mistral", "mistral4", "mistral_large4_text", "mixtral",
    "molmo2_text", "muse_glimmer_text", "muse_spark_text", "nanochat", "nemotron", "nemotron_h",
    "olmo", "olmo2", "olmoe", "paddleocr_vl_text", "persimmon", "phi", "phi3", "phi4_multimodal",
    "phimoe", "qwen2", "qwen2_5_omni_text", "qwen2_5_vl_text", "qwen2_moe", "qwen2_vl_text",
    "qwen3", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_omni_moe_text",
    "qwen3_vl_moe_text", "qwen3_vl_text", "qwen4_exp_text", "seed_oss", "smollm3", "solar_open",
    "stablelm", "starcoder2", "step3p5", "unlimited_ocr_text", "youtu",
})  # fmt: skip
"""``model_type`` of the decoders in which physical dropping gives what masking gives: a test drops
in each. Windows and other kinds of layers are refused in these too."""

NO_COLUMNS = frozenset({"linear_attention", "conv", "moe", "mlp"})
"""Kinds of layers, as in ``layer_types``, that keep no keys and values of each token: they fold
the tokens into a state of a fixed size, or into the last few of a convolution, or look at one token
at a time."""

# Those of them that hold what earlier tokens left.
_STATES = NO_COLUMNS - {"moe", "mlp"}

# Decoders none of whose layers is handed rotary tables: only states tell them the order of tokens.
_NO_ROTARY = frozenset({"nemotron_h"})

# Decoders whose layers scale queries by position ids, from a position on that their config names.
_SCALED = frozenset({"ministral3", "mistral4", "mistral_large4_text"})

WINDOWED = frozenset({
    "cohere2", "cohere_compass_text", "dots3_note_text", "exaone4", "gemma2", "gemma3_text",
    "gemma3n_text", "gemma4_text", "gemma4_unified_text", "lfm3", "llama4_text", "mistral",
    "muse_glimmer_text", "muse_spark_text", "step3p5", "unlimited_ocr_text",
})  # fmt: skip
"""``model_type`` of the decoders whose sliding windows, or chunks, were proven to be counted in the
positions of the whole prompt."""

INDEXED = frozenset({
    "dots3_note_text", "glm5_next_text", "mistral_large4_text", "qwen4_exp_text",
})  # fmt: skip
"""``model_type`` of the decoders whose index, which chooses what a token attends to, was proven to
choose among survivors."""

# Decoders that hand their layers the rotary tables of all columns, cached ones among them.
_WHOLE_TABLES = frozenset({"qwen4_exp_text"})

# Decoders whose index remembers which columns are padding, and makes masks of that: layers are told
# of padding among the columns of this forward, and no more.
_OWN_MASKS = frozenset({"glm5_next_text"})

# Decoders whose layers hand on several states of each token, in front of the rows of a batch.
_STATES_FIRST = frozenset({"gemma3n_text"})

# As configurations call a layer with a window, one that attends in chunks, and one with an index.
_WINDOW, _CHUNK, _INDEX = "sliding_attention", "chunked_attention", "indexed_attention"
# And one whose window is on the answer alone.
_ANSWER = "reference_sliding_attention"
# model_type → why it cannot be served, whatever the user allows.
_WRONG = {
    "doge": "its attention makes masks of its own from all tokens, at full length",
}


def no_columns(text: Any) -> frozenset[int]:
    """The layers of a decoder that keep no columns, from its configuration."""
    kinds = getattr(text, "layer_types", None) or ()
    return frozenset(layer for layer, kind in enumerate(kinds) if kind in NO_COLUMNS)


def key_sources(config: Any) -> dict[int, int]:
    """Which layers attend to keys and values of an earlier one, and of which; empty if none does.

    Gemma 4 E2B's last 20 layers do: each to those of the last layer of its kind before them.

    Args:
        config: the model's.
    """
    text = config.get_text_config()
    sharing = int(getattr(text, "num_kv_shared_layers", 0) or 0)
    if not sharing:
        return {}
    own, kinds = int(text.num_hidden_layers) - sharing, text.layer_types
    last = {kind: layer for layer, kind in enumerate(kinds[:own])}
    return {own + layer: last[kind] for layer, kind in enumerate(kinds[own:])}


def last_droppable(config: Any) -> int | None:
    """The last layer that can drop, where not all can: the first whose keys later layers share.

    What is dropped up to there has no keys in those layers either. What is dropped later would be
    seen through them; and once they begin, generating goes on with a prompt's last token alone,
    so that no other is left to be scored.

    Args:
        config: the model's.
    """
    return min(key_sources(config).values(), default=None)


def windows(config: Any) -> tuple[int | None, ...]:
    """Per layer, how many columns its sliding window leaves in view; empty if none has a window.

    Of a layer that attends in chunks, the size of a chunk.

    Args:
        config: the model's.
    """
    text = config.get_text_config()
    size, kinds = getattr(text, "sliding_window", None), getattr(text, "layer_types", None)
    if not kinds:
        return (int(size),) * int(text.num_hidden_layers) if size else ()
    sizes = {_WINDOW: size, _CHUNK: getattr(text, "attention_chunk_size", None)}
    found = tuple(sizes.get(kind) for kind in kinds)
    return found if any(found) else ()


def answer_window(config: Any) -> int | None:
    """How many columns of an answer are in view beside the whole prompt; ``None``: all of them."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ()
    return int(text.sliding_window) if _ANSWER in kinds else None


def chunked(config: Any) -> bool:
    """Whether the windows of :func:`windows` are chunks: places 0 to n-1, n to 2n-1 and so on."""
    return _CHUNK in (getattr(config.get_text_config(), "layer_types", None) or ())


def indexed(text: Any) -> bool:
    """Whether some layers of a decoder choose by an index what a token attends to.

    Args:
        text: the decoder's configuration.
    """
    return _INDEX in (getattr(text, "layer_types", None) or ())


def whole_tables(text: Any) -> bool:
    """Whether layers are handed the rotary tables of all columns, not of this forward's alone.

    An index that turns the keys of whole groups of columns needs them.

    Args:
        text: the decoder's configuration.
    """
    return text.model_type in _WHOLE_TABLES


def states_first(text: Any) -> bool:
    """Whether layers hand on several states of each token, ``[S, B, W, D]``.

    Args:
        text: the decoder's configuration.
    """
    return text.model_type in _STATES_FIRST


def own_masks(text: Any) -> bool:
    """Whether layers make masks of their own, of what their index keeps of each column.

    Args:
        text: the decoder's configuration.
    """
    return text.model_type in _OWN_MASKS


def takes_choices(text: Any) -> frozenset[int]:
    """The layers that have no index and attend to what an earlier layer chose.

    Args:
        text: the decoder's configuration.
    """
    kinds = getattr(text, "indexer_types", None) or ()
    return frozenset(layer for layer, kind in enumerate(kinds) if kind == "shared")


def follows_whole(config: Any) -> bool:
    """Whether tokens behind a prompt, such as a given answer, may come in one forward.

    Not where layers fold tokens into a state: on a GPU other kernels do that for one token than for
    several, and only one token is what decoding does. Nor where a window is on the answer: it would
    cut between them.

    Args:
        config: the model's configuration.
    """
    kinds = getattr(config.get_text_config(), "layer_types", None) or ()
    return not set(kinds) & (_STATES | {_ANSWER})


def layer_kinds(config: Any) -> tuple[str, ...]:
    """Per layer, its kind; empty if all are of one. Layers of a kind share masks and tables."""
    text = config.get_text_config()
    kinds = tuple(getattr(text, "layer_types", None) or ())
    stretched = getattr(text, "rope_scaling_layers", None)
    if stretched is not None and not kinds:  # Molmo 2's layers have one of two rotary tables
        kinds = tuple(
            "stretched" if i in stretched else "plain" for i in range(text.num_hidden_layers)
        )
    return kinds if len(set(kinds)) > 1 else ()


def without_rotary(config: Any) -> bool:
    """Whether some of the decoder's layers are handed no rotary tables, by its configuration.

    Compass's without a window are, and Muse Glimmer's that have no base for them; Nemotron-H has
    none at all.
    """
    text = config.get_text_config()
    if text.model_type in _NO_ROTARY:
        return True
    tables: Any = getattr(text, "rope_parameters", None) or {}
    if getattr(text, "qk_rope_head_dim", None) == 0:  # GLM-5-Next's
        return True
    bare = any(kind in tables and tables[kind] is None for kind in layer_kinds(config))
    return bare or not all(getattr(text, "layer_rope_theta", None) or [True])


def refuse_decoder(config: Any, *, two_way: bool = False, folds: bool = False) -> str | None:
    """Why no family can serve this decoder, or ``None``.

    Args:
        config: the model's.
        two_way: the family knows which columns attend in both directions, see ``Family.blocks``.
        folds: the family's layers that fold tokens into a state leave padding out of it.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or []) - {"full_attention"}
    kinds -= NO_COLUMNS if folds else set()
    window = getattr(text, "sliding_window", None) or _WINDOW in kinds
    if window and text.model_type not in WINDOWED:
        return "its decoder uses sliding-window attention, whose windows count dropped tokens"
    kinds -= {_WINDOW, _CHUNK, _ANSWER} if text.model_type in WINDOWED else set()
    if text.model_type in INDEXED and not indexed(text):
        return (
            "its layers have no index, or this release of transformers does not say which have one"
        )
    kinds -= {_INDEX} if text.model_type in INDEXED else set()
    if text.model_type in _WRONG:
        return _WRONG[text.model_type]
    if indexed(text) and str(text._attn_implementation).startswith(("flash", "flex")):
        return (
            "its index reads off a mask what it may choose among, and these kernels are given none"
        )
    if kinds:
        return f"its decoder has layers other than full attention: {', '.join(sorted(kinds))}"
    # transformers' mask function looks at the first, Gemma's attention at the second.
    if not getattr(text, "is_causal", True):
        return "its decoder attends in both directions (is_causal=False)"
    if getattr(text, "use_bidirectional_attention", None) and not two_way:
        return "its decoder attends in both directions (use_bidirectional_attention=True)"
    return None


def scaled_from(config: Any) -> int | None:
    """The first position whose query this decoder's layers scale by ``position_ids``.

    ``None`` where they do not read them.
    """
    text = config.get_text_config()
    if text.model_type not in _SCALED:
        return None
    if text.model_type == "mistral_large4_text":  # by the logarithm of each position
        return 0
    return int(text.rope_parameters["original_max_position_embeddings"])


def query_factor(layer: Any) -> Callable[[Tensor], Tensor] | None:
    """What ``layer`` multiplies a query with, by its place; ``None`` unless it counts columns.

    Llama 4's layers without rotary tables do, by the length of their own cache.
    """
    attention: Any = getattr(layer, "self_attn", None)
    if not getattr(attention, "attn_temperature_tuning", False) or attention.use_rope:
        return None

    def factor(places: Tensor) -> Tensor:
        steps = torch.floor((places.float() + 1.0) / attention.floor_scale)
        factors: Tensor = torch.log1p(steps) * attention.attn_scale + 1.0
        return factors

    return factor


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
