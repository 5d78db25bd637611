from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.glm4v import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH

TOKENS = {
    "image_token_id": "<|image|>",
    "video_token_id": "<|video|>",
    "image_start_token_id": "<|begin_of_image|>",
    "image_end_token_id": "<|end_of_image|>",
    "video_start_token_id": "<|begin_of_video|>",
    "video_end_token_id": "<|end_of_video|>",
}


TEMPLATE = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|begin_of_{{ item['type'] }}|><|{{ item['type'] }}|><|end_of_{{ item['type'] }}|>"
    "{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def processor(tokenizer):
    """Pictures of at most 32 x 32 pixels, so 16 tokens; a picture counts as two frames."""
    from transformers import Glm4vImageProcessor, Glm4vProcessor, Glm4vVideoProcessor

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 2048}}
    videos = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return Glm4vProcessor(
        image_processor=Glm4vImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Glm4vVideoProcessor(**videos),
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
)
