"""Tiny LLaVAs around any text decoder of transformers, for what must hold in all of them."""

from __future__ import annotations

from transformers import AutoConfig, CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from v2drop_cli.prove.cases.case import TEXT, build
from v2drop_cli.prove.cases.llava import CLIP, IMAGE

# Each type takes those of them that its configuration knows.
SIZES = {
    **TEXT,
    "head_dim": 8,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
# They make masks of both kinds, whichever their layers are: the size of a window must be there.
BOTH_MASKS = ("cohere2", "gemma2")


def exists(name: str) -> bool:
    """Whether this release of transformers has it."""
    return name in CONFIG_MAPPING_NAMES


def text_config(name: str, **changes):
    """A tiny configuration of the decoder `name`."""
    known, sizes = AutoConfig.for_model(name), dict(SIZES)
    if hasattr(known, "kv_lora_rank"):  # latent attention: the head's size is the sum of two
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
        del sizes["head_dim"]
    sizes = {key: value for key, value in sizes.items() if hasattr(known, key)}
    return type(known)(**sizes | changes)


def full_attention(name: str) -> dict[str, object]:
    """Changes that turn windows off, where a decoder may go without."""
    known = AutoConfig.for_model(name)
    off = {"sliding_window": None, "layer_types": ["full_attention"] * SIZES["num_hidden_layers"]}
    if name in BOTH_MASKS:
        del off["sliding_window"]
    return {key: value for key, value in off.items() if getattr(known, key, None) is not None}


def llava_with(name: str, **changes):
    """A tiny LLaVA of random weights around the text decoder `name`."""
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=text_config(name, **changes),
        image_token_id=IMAGE,
        image_seq_length=16,
    )
    return build(LlavaForConditionalGeneration, config, "eager")
