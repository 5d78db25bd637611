from __future__ import annotations

from tests.families.case import extended
from tests.families.deepseek_ocr2 import TEMPLATE
from v2drop_cli.prove.cases.unlimited_ocr import CASE as BASE
from v2drop_cli.prove.cases.unlimited_ocr import PATCH, TILE, WHOLE


def processor(tokenizer):
    """Pages of at most two to four tiles."""
    from transformers import UnlimitedOcrImageProcessor, UnlimitedOcrProcessor

    images = UnlimitedOcrImageProcessor(
        size={"height": WHOLE, "width": WHOLE}, tile_size=TILE, min_patches=2, max_patches=4
    )
    return UnlimitedOcrProcessor(images, tokenizer, patch_size=PATCH)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=TEMPLATE,
)
