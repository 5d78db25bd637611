from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.minicpmv4_6 import CASE as BASE
from v2drop_cli.prove.cases.minicpmv4_6 import PATCH

TOKENS = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
MARKERS = {
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
NAMED = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", **MARKERS}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|{{ item['type'] }}_pad|>{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vision_processors():
    """Thumbnails of about 32 x 32 pixels, 2 x 2 tokens, and up to four slices."""
    from transformers import MiniCPMV4_6ImageProcessor, MiniCPMV4_6VideoProcessor

    sizes = {"patch_size": PATCH, "scale_resolution": 32, "max_slice_nums": 4}
    return MiniCPMV4_6ImageProcessor(**sizes), MiniCPMV4_6VideoProcessor(**sizes)


def processor(tokenizer):
    from transformers import MiniCPMV4_6Processor

    images, videos = vision_processors()
    return MiniCPMV4_6Processor(images, videos, tokenizer)


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens=NAMED,
    processor=processor,
    specials=tuple(MARKERS.values()),
    template=TEMPLATE,
)
