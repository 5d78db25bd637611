from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, TOKENS
from v2drop_cli.prove.cases.cosmos3_edge import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH


def processor(tokenizer):
    """Pictures of at most 32 x 32 pixels, so 16 tokens; a video's frames share four times that."""
    from transformers import (
        Cosmos3EdgeImageProcessor,
        Cosmos3EdgeProcessor,
        Cosmos3EdgeVideoProcessor,
    )

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    videos = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return Cosmos3EdgeProcessor(
        image_processor=Cosmos3EdgeImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Cosmos3EdgeVideoProcessor(**videos),
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
    asked={"return_mm_token_type_ids": True, "return_metadata": True},
)
