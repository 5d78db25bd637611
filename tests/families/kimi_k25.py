from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.kimi_k25 import CASE as BASE
from v2drop_cli.prove.cases.kimi_k25 import PATCH

TOKENS = {
    "image_token_id": "<|media_pad|>",
    "video_token_id": "<|kimi_k25_video_placeholder|>",
    "vision_start_token_id": "<|media_begin|>",
    "vision_end_token_id": "<|media_end|>",
}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|media_begin|>image<|media_content|><|media_pad|><|media_end|>{% endif %}"
    "{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def processor(tokenizer):
    """Pictures of at most 8 x 8 patches, so 16 tokens."""
    from transformers import Kimi_K25ImageProcessor, Kimi_K25Processor, Kimi_K25VideoProcessor

    sizes = {"patch_size": PATCH, "size": {"max_height": 8, "max_width": 8}, "max_patches": 64}
    images, videos = Kimi_K25ImageProcessor(**sizes), Kimi_K25VideoProcessor(**sizes)
    return Kimi_K25Processor(images, tokenizer, videos)


CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
