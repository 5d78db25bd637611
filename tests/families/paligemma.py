from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.paligemma import CASE as BASE
from v2drop_cli.prove.cases.paligemma import SIDE


def processor(tokenizer):
    from transformers import PaliGemmaProcessor, SiglipImageProcessor

    images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    images.image_seq_length = 16
    return PaliGemmaProcessor(image_processor=images, tokenizer=tokenizer)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
)
