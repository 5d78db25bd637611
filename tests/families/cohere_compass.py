from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.cohere_compass import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH

TOKENS = {
    "image_token_id": "<|IMAGE_PAD|>",
    "video_token_id": "<|VIDEO_PAD|>",
    "vision_start_token_id": "<|VISION_START|>",
    "vision_end_token_id": "<|VISION_END|>",
}
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|VISION_START|><|{{ item['type'] | upper }}_PAD|><|VISION_END|>{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def processor(tokenizer):
    from transformers import (
        CohereCompassImageProcessor,
        CohereCompassProcessor,
        CohereCompassVideoProcessor,
    )

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    videos = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return CohereCompassProcessor(
        image_processor=CohereCompassImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=CohereCompassVideoProcessor(**videos),
    )


CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
