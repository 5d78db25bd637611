from __future__ import annotations

from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    VideoLlavaConfig,
    VideoLlavaForConditionalGeneration,
)

from v2drop_cli.prove.cases.case import Case, noise, piece
from v2drop_cli.prove.cases.llava import CLIP, SIDE
from v2drop_cli.models.llava import CHAT_TEMPLATE

IMAGE, VIDEO = 3, 4


def config(text, ids):
    vision, text = CLIPVisionConfig(**CLIP), LlamaConfig(**text)
    return VideoLlavaConfig(vision_config=vision, text_config=text, **ids)


def image(seed: int):
    return piece([IMAGE] * 16, IMAGE, {"pixel_values_images": noise(1, 3, SIDE, SIDE, seed=seed)})


def video(seed: int):
    """Three frames of 4 x 4 tokens, each after its class token."""
    frames = {"pixel_values_videos": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (3 * 17), VIDEO, frames, kind=2)


def processor(tokenizer):
    from transformers import VideoLlavaImageProcessor, VideoLlavaProcessor, VideoLlavaVideoProcessor

    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    return VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**sizes),
        video_processor=VideoLlavaVideoProcessor(**sizes),
        tokenizer=tokenizer,
        patch_size=4,
    )


CASE = Case(
    name="video_llava",
    model=VideoLlavaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video,
    tokens={"image_token_id": "<image>", "video_token_id": "<video>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
