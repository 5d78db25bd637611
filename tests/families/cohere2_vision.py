from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.cohere2_vision import CASE as BASE
from v2drop_cli.prove.cases.cohere2_vision import SIDE

TEMPLATE = (
    "<s>{% for message in messages %}{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<image>' }}{% endfor %}{% endfor %}"
)


def processor(tokenizer):
    from transformers import Cohere2VisionImageProcessor, Cohere2VisionProcessor

    size = {"height": SIDE, "width": SIDE}
    images = Cohere2VisionImageProcessor(size=size, patch_size=2)  # tokens along a tile
    return Cohere2VisionProcessor(image_processor=images, tokenizer=tokenizer)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    named_tokens={
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "image_token": "<image>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    },
    processor=processor,
    template=TEMPLATE,
)
