from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.molmo2 import CASE as BASE
from v2drop_cli.prove.cases.molmo2 import PATCH, SIDE

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|{{ item['type'] }}|>{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    """Crops of 4 x 4 patches that overlap by two, so a token pools 2 x 2; at most 4 of them."""
    from transformers import Molmo2ImageProcessor, Molmo2Processor, Molmo2VideoProcessor

    sizes = {
        "size": {"height": SIDE, "width": SIDE},
        "patch_size": PATCH,
        "pooling_size": [2, 2],
    }
    return Molmo2Processor(
        image_processor=Molmo2ImageProcessor(**sizes, max_crops=4, overlap_margins=[1, 1]),
        video_processor=Molmo2VideoProcessor(**sizes),
        tokenizer=tokenizer,
    )


CASE = extended(
    BASE,
    tokens={
        "image_token_id": "<im_patch>",
        "image_start_token_id": "<im_start>",
        "image_end_token_id": "<im_end>",
        "low_res_image_start_token_id": "<low_res_im_start>",
        "frame_start_token_id": "<frame_start>",
        "frame_end_token_id": "<frame_end>",
    },
    processor=processor,
    specials=("<im_col>", "<im_low>", "<|image|>", "<|video|>"),
    template=TEMPLATE,
)
