from __future__ import annotations

from tests.families.case import extended
from tests.families.idefics3 import SPECIALS, TEMPLATE
from v2drop_cli.prove.cases.idefics3 import SIDE, TOKENS
from v2drop_cli.prove.cases.smolvlm import CASE as BASE


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


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=(*SPECIALS, "<video>"),
    needs=("num2words",),
    template=TEMPLATE.replace("'<' + item['type'] + '>'", "'<image>'"),
)
