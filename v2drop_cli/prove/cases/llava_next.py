from __future__ import annotations

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import Case
from v2drop_cli.prove.cases.llava import CLIP, IMAGE, SIDE
from v2drop_cli.prove.cases.llava_onevision import TILES, image, pad_tiles
from v2drop_cli.models.llava import CHAT_TEMPLATE


def config(text, ids):
    return LlavaNextConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        image_grid_pinpoints=TILES,
        **ids,
    )


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


CASE = Case(
    name="llava_next",
    model=LlavaNextForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=pad_tiles,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
