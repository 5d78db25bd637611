from __future__ import annotations

from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, noise, piece
from v2drop_cli.models.llava import CHAT_TEMPLATE

IMAGE = 3
SIDE = 16
CLIP = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "projection_dim": 16,
    "initializer_range": 0.3,
}


def config(text, ids):
    return LlavaConfig(
        vision_config=CLIPVisionConfig(**CLIP),
        text_config=LlamaConfig(**text),
        image_seq_length=16,
        **ids,
    )


def image(seed: int):
    return piece([IMAGE] * 16, IMAGE, {"pixel_values": noise(1, 3, SIDE, SIDE, seed=seed)})


def clip_images(side: int = SIDE):
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def processor(tokenizer):
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor=clip_images(),
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


CASE = Case(
    name="llava",
    model=LlavaForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
