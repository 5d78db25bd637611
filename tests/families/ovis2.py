from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.llava import SIDE
from v2drop_cli.prove.cases.ovis2 import CASE as BASE

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<image>\n' }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    from transformers import Ovis2ImageProcessor, Ovis2Processor

    size = {"height": SIDE, "width": SIDE}
    return Ovis2Processor(
        image_processor=Ovis2ImageProcessor(size=size, crop_to_patches=True),
        tokenizer=tokenizer,
        image_seq_length=4,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<IMG_ATOM>"},
    # In the order of `visual_indicator_token_ids`, right after the placeholder.
    specials=("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>", "<image>"),
    processor=processor,
    template=TEMPLATE,
)
