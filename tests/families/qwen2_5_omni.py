from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE as QWEN2_VL
from tests.families.qwen2_vl import vision_processors
from v2drop_cli.prove.cases.qwen2_5_omni import BINS
from v2drop_cli.prove.cases.qwen2_5_omni import CASE as BASE

TOKENS = {
    "image_token_id": "<|IMAGE|>",
    "video_token_id": "<|VIDEO|>",
    "vision_start_token_id": "<|vision_bos|>",
    "vision_end_token_id": "<|vision_eos|>",
    "audio_token_id": "<|AUDIO|>",
    "audio_start_token_id": "<|audio_bos|>",
    "audio_end_token_id": "<|audio_eos|>",
}
NAMED = {
    "image_token": "<|IMAGE|>",
    "video_token": "<|VIDEO|>",
    "audio_token": "<|AUDIO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
TEMPLATE = (
    QWEN2_VL.replace("<|vision_start|>", "<|vision_bos|>")
    .replace("<|vision_end|>", "<|vision_eos|>")
    .replace("<|{{ item['type'] }}_pad|>", "<|{{ item['type'] | upper }}|>")
)


def hearing():
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=BINS)


def processor(tokenizer):
    from transformers import Qwen2_5OmniProcessor

    images, videos = vision_processors()
    return Qwen2_5OmniProcessor(images, videos, hearing(), tokenizer)


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens=NAMED,
    processor=processor,
    template=TEMPLATE,
)
