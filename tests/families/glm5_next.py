from __future__ import annotations

from tests.families.case import extended
from tests.families.glm4v import TEMPLATE, TOKENS
from v2drop_cli.prove.cases.glm5_next import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH


def processor(tokenizer):
    """Pictures of at most 16 tokens; a picture counts as two frames."""
    from transformers import Glm5NextImageProcessor, Glm5NextProcessor, Glm5NextVideoProcessor

    sizes = {"patch_size": PATCH, "min_image_tokens": 1}
    return Glm5NextProcessor(
        image_processor=Glm5NextImageProcessor(**sizes, max_image_tokens=16),
        tokenizer=tokenizer,
        video_processor=Glm5NextVideoProcessor(**sizes, max_image_tokens=32),
    )


CASE = extended(BASE, tokens=TOKENS, processor=processor, template=TEMPLATE)
