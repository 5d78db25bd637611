from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.janus import CASE as BASE
from v2drop_cli.prove.cases.janus import SIDE

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] | capitalize }}|>: "
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<image_placeholder>\n' }}{% endfor %}\n\n"
    "{% endfor %}{% if add_generation_prompt %}<|Assistant|>:{% endif %}"
)


def processor(tokenizer):
    from transformers import JanusImageProcessor, JanusProcessor

    images = JanusImageProcessor(size={"height": SIDE, "width": SIDE}, min_size=4)
    return JanusProcessor(image_processor=images, tokenizer=tokenizer, num_image_tokens=16)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image_placeholder>"},
    named_tokens={
        "image_token": "<image_placeholder>",
        "boi_token": "<begin_of_image>",
        "eoi_token": "<end_of_image>",
    },
    processor=processor,
    template=TEMPLATE,
)
