from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.models.families.llava import CHAT_TEMPLATE
from v2drop_cli.prove.cases.llava import SIDE
from v2drop_cli.prove.cases.llava_next import CASE as BASE
from v2drop_cli.prove.cases.llava_onevision import TILES


def processor(tokenizer):
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    images = LlavaNextImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=TILES,
    )
    return LlavaNextProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
