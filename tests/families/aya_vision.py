from __future__ import annotations

from tests.families.case import extended
from tests.families.cohere2_vision import TEMPLATE
from v2drop_cli.prove.cases.aya_vision import CASE as BASE
from v2drop_cli.prove.cases.aya_vision import SIDE


def processor(tokenizer):
    from transformers import AyaVisionProcessor, GotOcr2ImageProcessor

    images = GotOcr2ImageProcessor(size={"height": SIDE, "width": SIDE}, max_patches=12)
    return AyaVisionProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=4,
        img_size=SIDE,
        downsample_factor=2,
    )


CASE = extended(
    BASE,
    tokens={"image_token_index": "<|IMG_PATCH|>"},
    processor=processor,
    specials=(
        *("<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE_GLOBAL"),
        *(f"TILE_{number}" for number in range(1, 13)),
    ),
    template=TEMPLATE,
)
