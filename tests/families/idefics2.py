from __future__ import annotations

from tests.families.case import extended
from tests.families.idefics3 import TEMPLATE
from v2drop_cli.prove.cases.idefics2 import CASE as BASE
from v2drop_cli.prove.cases.idefics2 import QUERIES, SIDE


def processor(tokenizer):
    from transformers import Idefics2ImageProcessor, Idefics2Processor

    images = Idefics2ImageProcessor(
        size={"shortest_edge": 8, "longest_edge": SIDE}, do_image_splitting=True
    )
    return Idefics2Processor(image_processor=images, tokenizer=tokenizer, image_seq_len=QUERIES)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=("<fake_token_around_image>", "<end_of_utterance>"),
    template=TEMPLATE,
)
