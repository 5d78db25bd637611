from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, TOKENS, vision_processors
from v2drop_cli.prove.cases.qwen2_5_vl import CASE as BASE


def processor(tokenizer):
    from transformers import Qwen2_5_VLProcessor

    images, videos = vision_processors()
    return Qwen2_5_VLProcessor(image_processor=images, tokenizer=tokenizer, video_processor=videos)


CASE = extended(
    BASE,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
)
