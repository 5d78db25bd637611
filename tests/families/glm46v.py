from __future__ import annotations

from tests.families.case import extended
from tests.families.glm4v import TEMPLATE, TOKENS
from v2drop_cli.prove.cases.glm46v import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH


def processor(tokenizer, images="Glm46VImageProcessor", videos="Glm46VVideoProcessor"):
    """Pictures of at most 32 x 32 pixels, so 16 tokens; a picture counts as two frames."""
    import transformers

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 2048}}
    clips = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return transformers.Glm46VProcessor(
        image_processor=getattr(transformers, images)(**sizes),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, videos)(**clips),
    )


CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
