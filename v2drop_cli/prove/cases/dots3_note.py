"""dots3 Note at tiny size: an index that chooses four of a token's columns, windows, latents."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import Dots3NoteConfig, Dots3NoteForConditionalGeneration

from v2drop_cli.prove.cases.case import Piece, noise
from v2drop_cli.prove.cases.qwen2_vl import CASE as QWEN2_VL
from v2drop_cli.prove.cases.qwen2_vl import IMAGE, PATCH, VIDEO
from v2drop_cli.prove.cases.qwen2_vl import image as picture
from v2drop_cli.prove.cases.qwen2_vl import video as clip

WINDOW, CHOSEN = 8, 4
HEARD = 7  # the id of a sound's tokens
# Of so many heads one says something of every column: equal scores would be no choice.
INDEX: dict[str, Any] = {"index_topk": CHOSEN, "index_head_dim": 8, "index_n_heads": 16}
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "head_dim": 8,
}
SLIDING: dict[str, Any] = {
    "swa_num_attention_heads": 2,
    "swa_num_key_value_heads": 2,
    "swa_q_lora_rank": 8,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 12,
    "swa_qk_nope_head_dim": 8,
    "swa_qk_rope_head_dim": 4,
    "swa_v_head_dim": 8,
}
EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_experts_intermediate_size": 16,
    "n_shared_experts": 1,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
    "adapter_in_dim": 16,
    "adapter_out_dim": 32,
    "mlp_layer_types": ["dense", "dense"],
    "initializer_range": 0.3,
}
AUDIO: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "downsample_hidden_size": 4,
    "feature_size": 8,
    "adapter_input_size": 16,
    "adapter_out_dim": 32,
}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """Layers 0, 1 and 5 have an index, the others a window."""
    decoder = {**EXPERTS, **INDEX, **text, **LATENT, **SLIDING, "sliding_window": WINDOW}
    return Dots3NoteConfig(
        vision_config=VISION, text_config=decoder, audio_config=AUDIO, audio_token_id=HEARD, **ids
    )


def image(seed: int) -> Piece:
    """Qwen2-VL's, one frame a step."""
    return _of_one_frame(picture(seed), "pixel_values", seed)


def video(seed: int) -> Piece:
    """The same of a clip."""
    return _of_one_frame(clip(seed), "pixel_values_videos", seed)


def _of_one_frame(shown: Piece, pixels: str, seed: int) -> Piece:
    patches = noise(len(shown.tensors[pixels]), 3 * PATCH**2, seed=seed)
    return dataclasses.replace(shown, tensors={**shown.tensors, pixels: patches})


CASE = dataclasses.replace(
    QWEN2_VL,
    name="dots3_note",
    model=Dots3NoteForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video,
    types=False,
    smooth={"num_experts_per_tok": 4, "index_topk": 512},
)
