from __future__ import annotations

from tests.families.case import extended
from tests.families.llava_onevision import TEMPLATE
from v2drop_cli.prove.cases.llava import SIDE
from v2drop_cli.prove.cases.llava_next_video import CASE as BASE
from v2drop_cli.prove.cases.llava_onevision import TILES


def processor(tokenizer):
    from transformers import (
        LlavaNextImageProcessor,
        LlavaNextVideoProcessor,
        LlavaNextVideoVideoProcessor,
    )

    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    return LlavaNextVideoProcessor(
        video_processor=LlavaNextVideoVideoProcessor(**size),
        image_processor=LlavaNextImageProcessor(**size, image_grid_pinpoints=TILES),
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>", "video_token_id": "<video>"},
    processor=processor,
    template=TEMPLATE,
)
