from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.idefics3 import CASE as BASE
from v2drop_cli.prove.cases.idefics3 import SIDE, TOKENS

TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<' + item['type'] + '>' }}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def processor(tokenizer):
    from transformers import Idefics3ImageProcessor, Idefics3Processor

    images = Idefics3ImageProcessor(
        size={"longest_edge": 4 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    return Idefics3Processor(image_processor=images, tokenizer=tokenizer, image_seq_len=TOKENS)


SPECIALS = (
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=SPECIALS,
    template=TEMPLATE,
)
