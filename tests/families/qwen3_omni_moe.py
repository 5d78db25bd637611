from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_5_omni import NAMED as OLDER
from tests.families.qwen2_5_omni import hearing
from tests.families.qwen2_vl import TEMPLATE, vision_processors
from tests.families.qwen2_vl import TOKENS as VISION
from v2drop_cli.prove.cases.qwen3_omni_moe import CASE as BASE

TOKENS = {
    **VISION,
    "audio_token_id": "<|audio_pad|>",
    "audio_start_token_id": "<|audio_start|>",
    "audio_end_token_id": "<|audio_end|>",
}
NAMED = dict(
    zip(
        OLDER,
        ["<|image_pad|>", "<|video_pad|>", "<|audio_pad|>", "<|vision_start|>", "<|vision_end|>",
         "<|audio_start|>", "<|audio_end|>"],
        strict=True,
    )
)  # fmt: skip


def processor(tokenizer):
    from transformers import Qwen3OmniMoeProcessor

    images, videos = vision_processors()
    return Qwen3OmniMoeProcessor(images, videos, hearing(), tokenizer)


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens=NAMED,
    processor=processor,
    template=TEMPLATE,
)
