from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.gemma4 import CASE as BASE
from v2drop_cli.prove.cases.gemma4 import LONGEST, PATCH, POOLED

TOKENS = {
    "image_token_id": "<|image|>",
    "video_token_id": "<|video|>",
    "boi_token_id": "<|image>",
    "eoi_token_id": "<image|>",
    "audio_token_id": "<|audio|>",
}
NAMED = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
TEMPLATE = (
    "<s>{% for message in messages %}<|turn>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}\n\n<|{{ item['type'] }}|>\n\n{% endif %}{% endfor %}<turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn>model\n{% endif %}"
)


def processor(tokenizer):
    """Pictures and frames of at most 70 tokens, the least that its processors take."""
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4ImageProcessor,
        Gemma4Processor,
        Gemma4VideoProcessor,
    )

    sizes = {"patch_size": PATCH, "pooling_kernel_size": POOLED, "max_soft_tokens": LONGEST}
    return Gemma4Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessor(**sizes),
        tokenizer,
        Gemma4VideoProcessor(**sizes),
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens=NAMED,
    specials=("<|audio>", "<audio|>", "<|turn>", "<turn|>"),
    processor=processor,
    template=TEMPLATE,
)
