from __future__ import annotations

from tests.families.case import extended
from tests.families.llava import clip_images
from tests.families.llava_onevision import TEMPLATE
from v2drop_cli.models.families.fast_vlm import STRIDE
from v2drop_cli.prove.cases.fast_vlm import CASE as BASE
from v2drop_cli.prove.cases.fast_vlm import SIDE


def processor(tokenizer):
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor=clip_images(SIDE),
        tokenizer=tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
    )


CASE = extended(BASE, tokens={"image_token_id": "<image>"}, processor=processor, template=TEMPLATE)
