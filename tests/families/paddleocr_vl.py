from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.paddleocr_vl import CASE as BASE
from v2drop_cli.prove.cases.paddleocr_vl import PATCH

TOKENS = {
    "image_token_id": "<|IMAGE_PLACEHOLDER|>",
    "vision_start_token_id": "<|IMAGE_START|>",
    "vision_end_token_id": "<|IMAGE_END|>",
}
TEMPLATE = (
    "{% for message in messages %}User: {% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else "
    "'<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>' }}{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant: {% endif %}"
)


def processor(tokenizer):
    """Pictures of at most 16 tokens."""
    from transformers import PaddleOCRVLImageProcessor, PaddleOCRVLProcessor

    token = 4 * PATCH**2
    size = {"shortest_edge": token, "longest_edge": 16 * token}
    return PaddleOCRVLProcessor(
        image_processor=PaddleOCRVLImageProcessor(patch_size=PATCH, size=size),
        tokenizer=tokenizer,
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens={"image_token": TOKENS["image_token_id"]},
    processor=processor,
    template=TEMPLATE,
)
