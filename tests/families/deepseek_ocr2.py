from __future__ import annotations

from tests.families.case import extended
from tests.families.llava_onevision import TEMPLATE
from v2drop_cli.prove.cases.deepseek_ocr2 import CASE as BASE
from v2drop_cli.prove.cases.deepseek_ocr2 import PATCH, TILE, WHOLE


def processor(tokenizer):
    from transformers import DeepseekOcr2ImageProcessor, DeepseekOcr2Processor

    size = {"height": WHOLE, "width": WHOLE}
    return DeepseekOcr2Processor(
        image_processor=DeepseekOcr2ImageProcessor(size=size, tile_size=TILE),
        tokenizer=tokenizer,
        patch_size=PATCH,
    )


CASE = extended(BASE, tokens={"image_token_id": "<image>"}, processor=processor, template=TEMPLATE)
