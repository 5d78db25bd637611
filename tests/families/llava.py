from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.models.families.llava import CHAT_TEMPLATE
from v2drop_cli.prove.cases.llava import CASE as BASE
from v2drop_cli.prove.cases.llava import SIDE


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


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
