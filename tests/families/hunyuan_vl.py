from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.hunyuan_vl import CASE as BASE
from v2drop_cli.prove.cases.hunyuan_vl import PATCH

TOKENS = {
    "image_token_id": "<|hy_image|>",
    "im_start_id": "<|hy_image_start|>",
    "im_end_id": "<|hy_image_end|>",
}
TEMPLATE = (
    "{% for message in messages %}<|hy_{{ message['role'] }}|>{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else "
    "'<|hy_image_start|><|hy_image|><|hy_image_end|>' }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|hy_assistant|>{% endif %}"
)


def processor(tokenizer):
    """Pictures of 2 x 2 tokens to about 12."""
    from transformers import HunYuanVLImageProcessor, HunYuanVLProcessor

    token = 4 * PATCH**2
    size = {"shortest_edge": 4 * token, "longest_edge": 12 * token}
    return HunYuanVLProcessor(
        image_processor=HunYuanVLImageProcessor(patch_size=PATCH, size=size), tokenizer=tokenizer
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens={
        "image_token": TOKENS["image_token_id"],
        "image_start_token": TOKENS["im_start_id"],
        "image_end_token": TOKENS["im_end_id"],
    },
    processor=processor,
    template=TEMPLATE,
)
