from __future__ import annotations

from transformers import (
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMVisionConfig,
)

from v2drop_cli.prove.cases.case import FIRST_WORD, PAD, Case, noise, piece
from v2drop_cli.prove.cases.idefics3 import (
    IMAGE,
    SIDE,
    SPECIALS,
    TEMPLATE,
    TOKENS,
    VISION,
    image,
    join_rows,
    whole,
)


def config(text, ids):
    return SmolVLMConfig(
        vision_config=SmolVLMVisionConfig(**VISION),
        text_config=LlamaConfig(**text),
        scale_factor=2,
        pad_token_id=PAD,
        **ids,
    )


def video(seed: int):
    """Three frames, each a whole picture after a word for its time."""
    ids = [i for frame in range(3) for i in [FIRST_WORD + frame, *whole()]]
    return piece(ids, IMAGE, {"pixel_values": noise(1, 3, 3, SIDE, SIDE, seed=seed)}, kind=2)


def processor(tokenizer):
    from transformers import SmolVLMImageProcessor, SmolVLMProcessor, SmolVLMVideoProcessor

    size = {"longest_edge": 4 * SIDE}
    largest = {"longest_edge": SIDE}
    sampling = {"max_frames": 8, "fps": 1, "video_size": size}
    return SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(size=size, max_image_size=largest),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(
            size=size, max_image_size=largest, video_sampling=sampling
        ),
        image_seq_len=TOKENS,
    )


CASE = Case(
    name="smolvlm",
    model=SmolVLMForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    video=video,
    join=join_rows,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=(*SPECIALS, "<video>"),
    needs=("num2words",),
    mixed=False,
    template=TEMPLATE.replace("'<' + item['type'] + '>'", "'<image>'"),
    layers=lambda model: model.model.text_model.layers,
)
