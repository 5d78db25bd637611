from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.llama4 import CASE as BASE
from v2drop_cli.prove.cases.llama4 import SIDE

TEMPLATE = (
    "<s>{% for message in messages %}{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<|image|>' }}{% endfor %}<|eot|>{% endfor %}"
)


def processor(tokenizer):
    from transformers import Llama4ImageProcessor, Llama4Processor

    size = {"height": SIDE, "width": SIDE}
    return Llama4Processor(
        image_processor=Llama4ImageProcessor(size=size), tokenizer=tokenizer, patch_size=4
    )


CASE = extended(
    BASE,
    tokens={
        "image_token_index": "<|patch|>",
        "boi_token_index": "<|image_start|>",
        "eoi_token_index": "<|image_end|>",
    },
    processor=processor,
    specials=("<|image|>", "<|tile_x_separator|>", "<|tile_y_separator|>", "<|eot|>"),
    template=TEMPLATE,
)
