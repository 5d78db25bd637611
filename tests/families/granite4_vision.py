from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.models.families.llava import CHAT_TEMPLATE
from v2drop_cli.prove.cases.granite4_vision import CASE as BASE
from v2drop_cli.prove.cases.llava_onevision import SIDE, TILES


def processor(tokenizer):
    from transformers import Granite4VisionProcessor, LlavaNextImageProcessor

    images = LlavaNextImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=TILES,
    )
    return Granite4VisionProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
