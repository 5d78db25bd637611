from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.llava import SIDE
from v2drop_cli.prove.cases.qianfan_ocr import CASE as BASE

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<image>\n' }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    from transformers import GotOcr2ImageProcessor, QianfanOCRProcessor

    images = GotOcr2ImageProcessor(size={"height": SIDE, "width": SIDE}, max_patches=12)
    return QianfanOCRProcessor(image_processor=images, tokenizer=tokenizer, image_seq_length=4)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<IMG_CONTEXT>"},
    named_tokens={
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
    },
    processor=processor,
    template=TEMPLATE,
)
