from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.muse_glimmer import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH

TEMPLATE = (
    "<s>{% for message in messages %}{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else "
    "('<|patch|>' if item['type'] == 'image' else '<|video|>') }}{% endfor %}{% endfor %}"
)


def processor(tokenizer):
    from transformers import (
        MuseGlimmerImageProcessor,
        MuseGlimmerProcessor,
        MuseGlimmerVideoProcessor,
    )

    return MuseGlimmerProcessor(
        image_processor=MuseGlimmerImageProcessor(patch_size=PATCH, max_image_tokens=16),
        video_processor=MuseGlimmerVideoProcessor(patch_size=PATCH, max_video_frame_tokens=12),
        tokenizer=tokenizer,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<|patch|>", "video_token_id": "<|video|>"},
    processor=processor,
    specials=(
        *("<|image_start|>", "<|image_end|>", "<|vid_start|>", "<|vid_end|>"),
        "<|vid_frame_separator|>",
    ),
    template=TEMPLATE,
    asked={"return_metadata": True},
)
