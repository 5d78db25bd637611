from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.models.families.llava import CHAT_TEMPLATE
from v2drop_cli.prove.cases.llava import SIDE
from v2drop_cli.prove.cases.video_llava import CASE as BASE


def processor(tokenizer):
    from transformers import VideoLlavaImageProcessor, VideoLlavaProcessor, VideoLlavaVideoProcessor

    sizes = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    return VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**sizes),
        video_processor=VideoLlavaVideoProcessor(**sizes),
        tokenizer=tokenizer,
        patch_size=4,
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>", "video_token_id": "<video>"},
    processor=processor,
    template=CHAT_TEMPLATE,
)
