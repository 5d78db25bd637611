from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.lfm2_vl import CASE as BASE
from v2drop_cli.prove.cases.lfm2_vl import PATCH

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<image>' }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = (
    "<|image_start|>",
    "<|image_end|>",
    "<|img_thumbnail|>",
    *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 11) for column in range(1, 11)),
)


def processor(tokenizer):
    """Pictures of 4 to 16 tokens, tiles of 4 x 4."""
    from transformers import Lfm2VlImageProcessor, Lfm2VlProcessor

    images = Lfm2VlImageProcessor(
        encoder_patch_size=PATCH, tile_size=32, min_image_tokens=4, max_image_tokens=16
    )
    return Lfm2VlProcessor(image_processor=images, tokenizer=tokenizer)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=SPECIALS,
    template=TEMPLATE,
)
