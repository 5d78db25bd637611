from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.phi4_multimodal import CASE as BASE
from v2drop_cli.prove.cases.phi4_multimodal import PATCH

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<image>' }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    """Crops of 64 x 64 pixels; it counts 16 x 16 tokens for each, whatever its size."""
    from transformers import (
        Phi4MultimodalFeatureExtractor,
        Phi4MultimodalImageProcessor,
        Phi4MultimodalProcessor,
    )

    side = {"height": 32 * PATCH, "width": 32 * PATCH}
    images = Phi4MultimodalImageProcessor(size=side, patch_size=PATCH, dynamic_hd=4)
    return Phi4MultimodalProcessor(images, Phi4MultimodalFeatureExtractor(), tokenizer)


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>"},
    named_tokens={"image_token": "<image>", "audio_token": "<audio>"},
    processor=processor,
    template=TEMPLATE,
)
