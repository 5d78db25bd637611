from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.step3p7 import CASE as BASE
from v2drop_cli.prove.cases.step3p7 import LOCAL, SIDE

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<im_patch>' }}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    from transformers import Step3p7ImageProcessor, Step3p7Processor

    images = Step3p7ImageProcessor(
        size={"height": SIDE, "width": SIDE},
        patch_size=LOCAL,
        max_image_size=4 * SIDE,
        vision_patch_size=2,
    )
    return Step3p7Processor(image_processor=images, tokenizer=tokenizer)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<im_patch>"},
    processor=processor,
    specials=("<patch_start>", "<patch_end>", "<patch_newline>", "<im_start>", "<im_end>"),
    template=TEMPLATE,
)
