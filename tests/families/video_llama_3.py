from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.video_llama_3 import CASE as BASE
from v2drop_cli.prove.cases.video_llama_3 import PATCH

TOKENS = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|{{ item['type'] }}_pad|>\n{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    """Pictures of at most 16 tokens, and frames of about 4."""
    from transformers import (
        VideoLlama3ImageProcessor,
        VideoLlama3Processor,
        VideoLlama3VideoProcessor,
    )

    patch = PATCH**2
    images = {"shortest_edge": patch, "longest_edge": 16 * patch}
    videos = {"shortest_edge": 4 * patch, "longest_edge": 5 * 4 * 4 * patch}
    return VideoLlama3Processor(
        image_processor=VideoLlama3ImageProcessor(patch_size=PATCH, size=images),
        tokenizer=tokenizer,
        video_processor=VideoLlama3VideoProcessor(patch_size=PATCH, size=videos, merge_size=2),
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    processor=processor,
    template=TEMPLATE,
)
