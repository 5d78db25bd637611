from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.gemma3 import CASE as BASE
from v2drop_cli.prove.cases.gemma3 import SIDE, TOKENS

TEMPLATE = (
    "{% for message in messages %}<start_of_turn>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<start_of_image>' }}{% endfor %}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def processor(tokenizer):
    from transformers import Gemma3ImageProcessor, Gemma3Processor

    images = Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE})
    return Gemma3Processor(image_processor=images, tokenizer=tokenizer, image_seq_length=TOKENS)


CASE = extended(
    BASE,
    tokens={
        "image_token_id": "<image_soft_token>",
        "boi_token_index": "<start_of_image>",
        "eoi_token_index": "<end_of_image>",
    },
    named_tokens={
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    },
    processor=processor,
    specials=("<start_of_turn>", "<end_of_turn>"),
    template=TEMPLATE,
)
