from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.models.families.got_ocr2 import CHAT_TEMPLATE
from v2drop_cli.prove.cases.got_ocr2 import CASE as BASE
from v2drop_cli.prove.cases.got_ocr2 import SIDE


def processor(tokenizer):
    from transformers import GotOcr2ImageProcessor, GotOcr2Processor

    images = GotOcr2ImageProcessor(size={"height": SIDE, "width": SIDE})
    return GotOcr2Processor(image_processor=images, tokenizer=tokenizer)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<imgpad>"},
    processor=processor,
    specials=("<img>", "</img>"),
    template=CHAT_TEMPLATE,
)
