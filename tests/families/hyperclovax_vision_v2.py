from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, TOKENS, vision_processors
from v2drop_cli.prove.cases.hyperclovax_vision_v2 import CASE as BASE


def processor(tokenizer):
    from transformers import HyperCLOVAXVisionV2Processor

    images, videos = vision_processors()
    return HyperCLOVAXVisionV2Processor(
        image_processor=images, tokenizer=tokenizer, video_processor=videos
    )


CASE = extended(
    BASE,
    tokens={name: TOKENS[name] for name in ("image_token_id", "video_token_id")},
    processor=processor,
    specials=("<|vision_start|>", "<|vision_end|>"),
    template=TEMPLATE,
)
