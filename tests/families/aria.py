from __future__ import annotations

from tests.families.case import extended
from tests.families.llava_onevision import TEMPLATE
from v2drop_cli.prove.cases.aria import CASE as BASE
from v2drop_cli.prove.cases.aria import QUERIES


def processor(tokenizer):
    from transformers import AriaImageProcessor, AriaProcessor

    return AriaProcessor(
        image_processor=AriaImageProcessor(),
        tokenizer=tokenizer,
        size_conversion=QUERIES,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    named_tokens={"image_token": "<image>"},
    processor=processor,
    template=TEMPLATE,
)
