from __future__ import annotations

from tests.families.case import extended
from tests.families.deepseek_vl import TEMPLATE, TOKEN
from v2drop_cli.prove.cases.deepseek_vl_hybrid import CASE as BASE
from v2drop_cli.prove.cases.deepseek_vl_hybrid import LARGE
from v2drop_cli.prove.cases.llava import SIDE


def processor(tokenizer):
    from transformers import DeepseekVLHybridImageProcessor, DeepseekVLHybridProcessor

    return DeepseekVLHybridProcessor(
        image_processor=DeepseekVLHybridImageProcessor(
            size={"height": SIDE, "width": SIDE}, high_res_size={"height": LARGE, "width": LARGE}
        ),
        tokenizer=tokenizer,
        num_image_tokens=16,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": TOKEN},
    named_tokens={"image_token": TOKEN},
    processor=processor,
    template=TEMPLATE,
)
