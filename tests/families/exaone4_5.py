from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, vision_processors
from v2drop_cli.prove.cases.exaone4_5 import CASE as BASE


def processor(tokenizer):
    from transformers import Exaone4_5_Processor

    images, videos = vision_processors()
    return Exaone4_5_Processor(image_processor=images, tokenizer=tokenizer, video_processor=videos)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"},
    processor=processor,
    specials=("<|vision_start|>", "<|vision_end|>"),
    template=TEMPLATE,
)
