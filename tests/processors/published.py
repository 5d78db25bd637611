"""Processors at the sizes their authors publish, for shipped architectures: alias → processor."""

from __future__ import annotations

from tests.families.llava import clip_images


def llava(tokenizer):
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor=clip_images(336),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_next(tokenizer):
    from transformers import LlavaNextImageProcessor, LlavaNextProcessor

    side = {"height": 336, "width": 336}
    return LlavaNextProcessor(
        image_processor=LlavaNextImageProcessor(size={"shortest_edge": 336}, crop_size=side),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def llava_onevision(tokenizer):
    from transformers import (
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(),
        num_image_tokens=729,
        vision_feature_select_strategy="full",
    )


def internvl(tokenizer):
    from transformers import GotOcr2ImageProcessor, InternVLProcessor, InternVLVideoProcessor

    size = {"height": 448, "width": 448}
    return InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=256,
    )


PROCESSORS = {
    "llava-1.5-7b": llava,
    "llava-next-vicuna-7b": llava_next,
    "llava-onevision-0.5b": llava_onevision,
    "internvl3-1b": internvl,
}
