from __future__ import annotations

from tests.families.case import extended
from tests.families.minicpmv4_6 import MARKERS, NAMED, TEMPLATE, TOKENS, vision_processors
from v2drop_cli.prove.cases.minicpmv4_7 import CASE as BASE


def processor(tokenizer):
    from transformers import MiniCPMV4_7Processor

    images, videos = vision_processors()
    return MiniCPMV4_7Processor(images, videos, tokenizer)


# The line break between rows of slices is one token of bytes.
OF_THE_CANVAS = {
    "image_start_id": "<image>",
    "image_end_id": "</image>",
    "slice_start_id": "<slice>",
    "slice_end_id": "</slice>",
    "newline_id": "Ċ",
}
CASE = extended(
    BASE,
    tokens={**TOKENS, **OF_THE_CANVAS},
    named_tokens=NAMED,
    processor=processor,
    specials=tuple(MARKERS.values()),
    template=TEMPLATE,
)
