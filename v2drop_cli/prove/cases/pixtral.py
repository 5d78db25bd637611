from __future__ import annotations

from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
)

from v2drop_cli.prove.cases.case import Case
from v2drop_cli.prove.cases.mistral3 import (
    IMAGE,
    PATCH,
    PIXTRAL,
    TEMPLATE,
    pad_pixels,
    pixtral_processor,
    sized,
)


def config(text, ids):
    return LlavaConfig(
        vision_config=PixtralVisionConfig(**PIXTRAL),
        text_config=MistralConfig(**text, sliding_window=None),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        **ids,
    )


def image(seed: int):
    rows, columns = [(3, 4), (4, 3), (2, 5)][seed % 3]
    return sized(rows, columns, PATCH, seed)


CASE = Case(
    name="pixtral",
    variant_of="llava",
    model=LlavaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=pad_pixels,
    tokens={"image_token_id": "[IMG]"},
    processor=pixtral_processor(1),
    specials=("[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"),
    template=TEMPLATE,
)
