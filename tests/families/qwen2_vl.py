from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.qwen2_vl import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH

TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|vision_start|><|{{ item['type'] }}_pad|><|vision_end|>{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vision_processors():
    """Pictures of at most 32 x 32 pixels, so 16 tokens."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    return Qwen2VLImageProcessor(**sizes), Qwen2VLVideoProcessor(**sizes)


def processor(tokenizer):
    from transformers import Qwen2VLProcessor

    images, videos = vision_processors()
    return Qwen2VLProcessor(image_processor=images, tokenizer=tokenizer, video_processor=videos)


CASE = extended(
    BASE,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
)
