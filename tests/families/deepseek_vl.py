from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.deepseek_vl import CASE as BASE
from v2drop_cli.prove.cases.llava import SIDE

TOKEN = "<image_placeholder>"
TEMPLATE = (
    "{% for message in messages %}{{ 'User' if message['role'] == 'user' else 'Assistant' }}: "
    "{% for item in message['content'] %}"
    f"{{{{ item['text'] if item['type'] == 'text' else '{TOKEN}' }}}}{{% endfor %}}"
    "\n\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def processor(tokenizer):
    from transformers import DeepseekVLImageProcessor, DeepseekVLProcessor

    size = {"height": SIDE, "width": SIDE}
    return DeepseekVLProcessor(
        image_processor=DeepseekVLImageProcessor(size=size),
        tokenizer=tokenizer,
        num_image_tokens=16,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": TOKEN},
    named_tokens={"image_token": TOKEN},
    processor=processor,
    template=TEMPLATE,
)
