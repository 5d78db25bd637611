from __future__ import annotations

import dataclasses

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import noise, piece
from v2drop_cli.prove.cases.llava import CLIP, SIDE
from v2drop_cli.prove.cases.llava_next import CASE as LLAVA_NEXT
from v2drop_cli.prove.cases.llava_onevision import TEMPLATE, TILES

IMAGE, VIDEO = 3, 4


def config(text, ids):
    return LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        image_grid_pinpoints=TILES,
        **ids,
    )


def video(seed: int):
    """Three frames of 2 x 2 pooled tokens."""
    frames = {"pixel_values_videos": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (3 * 4), VIDEO, frames, kind=2)


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


CASE = dataclasses.replace(
    LLAVA_NEXT,
    name="llava_next_video",
    model=LlavaNextVideoForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    video=video,
    tokens={"image_token_id": "<image>", "video_token_id": "<video>"},
    processor=processor,
    template=TEMPLATE,
)
