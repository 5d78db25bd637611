from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.llava import SIDE
from v2drop_cli.prove.cases.perception_lm import CASE as BASE

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<|' + item['type'] + '|>' }}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    from transformers import (
        PerceptionLMImageProcessor,
        PerceptionLMProcessor,
        PerceptionLMVideoProcessor,
    )

    return PerceptionLMProcessor(
        image_processor=PerceptionLMImageProcessor(tile_size=SIDE),
        tokenizer=tokenizer,
        video_processor=PerceptionLMVideoProcessor(size={"height": SIDE, "width": SIDE}),
        patch_size=4,
        pooling_ratio=2,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<|image|>", "video_token_id": "<|video|>"},
    named_tokens={"image_token": "<|image|>", "video_token": "<|video|>"},
    processor=processor,
    template=TEMPLATE,
    alike=True,
)
