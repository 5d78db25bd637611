from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.lighton_ocr import CASE as BASE
from v2drop_cli.prove.cases.mistral3 import MERGE, PATCH

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<|image_pad|>' }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    from transformers import LightOnOcrProcessor, PixtralImageProcessor

    images = PixtralImageProcessor(
        size={"longest_edge": 64}, patch_size={"height": PATCH, "width": PATCH}
    )
    return LightOnOcrProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=PATCH, spatial_merge_size=MERGE
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<|image_pad|>"},
    named_tokens={
        "image_token": "<|image_pad|>",
        "image_break_token": "<|vision_pad|>",
        "image_end_token": "<|vision_end|>",
    },
    processor=processor,
    template=TEMPLATE,
)
