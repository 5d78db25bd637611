from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, TOKENS
from v2drop_cli.prove.cases.qwen2_vl import PATCH
from v2drop_cli.prove.cases.qwen3_vl import CASE as BASE


def processor(tokenizer):
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    videos = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**videos),
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
)
