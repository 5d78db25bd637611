from __future__ import annotations

from tests.families.case import extended
from tests.families.idefics3 import SPECIALS, TEMPLATE
from v2drop_cli.prove.cases.granite_docling import CASE as BASE
from v2drop_cli.prove.cases.idefics3 import SIDE, TOKENS


def processor(tokenizer):
    from transformers import GraniteDoclingImageProcessor, GraniteDoclingProcessor

    images = GraniteDoclingImageProcessor(size={"height": SIDE, "width": SIDE})
    return GraniteDoclingProcessor(
        image_processor=images, tokenizer=tokenizer, image_seq_len=TOKENS
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=SPECIALS,
    template=TEMPLATE,
)
