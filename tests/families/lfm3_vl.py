from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE, TOKENS
from v2drop_cli.prove.cases.lfm3_vl import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH


def processor(tokenizer):
    from transformers import Lfm3VlProcessor, Qwen2VLImageProcessor, Qwen3VLVideoProcessor

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    videos = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return Lfm3VlProcessor(
        image_processor=Qwen2VLImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(**videos),
    )


CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
