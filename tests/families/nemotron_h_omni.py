from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.nemotron_h_omni import CASE as BASE
from v2drop_cli.prove.cases.nemotron_h_omni import PATCH

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<' + item['type'] + '>' }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def processor(tokenizer):
    """Pictures of 16 to 64 patches, frames of 16 at most."""
    from transformers import (
        NemotronH_Omni_Reasoning_V3ImageProcessor,
        NemotronH_Omni_Reasoning_V3Processor,
        NemotronH_Omni_Reasoning_V3VideoProcessor,
        ParakeetFeatureExtractor,
    )

    means = {"norm_mean": [0.5] * 3, "norm_std": [0.5] * 3}
    images = NemotronH_Omni_Reasoning_V3ImageProcessor(
        **means, patch_size=PATCH, min_num_patches=16, max_num_patches=64
    )
    videos = NemotronH_Omni_Reasoning_V3VideoProcessor(
        **means, patch_size=PATCH, video_target_num_patches=16
    )
    return NemotronH_Omni_Reasoning_V3Processor(
        images, videos, tokenizer, ParakeetFeatureExtractor()
    )


CASE = extended(
    BASE,
    tokens={"image_token_id": "<image>", "video_token_id": "<video>"},
    named_tokens={"image_token": "<image>", "video_token": "<video>"},
    processor=processor,
    specials=("<img>", "</img>", "<so_embedding>", "<so_start>", "<so_end>"),
    template=TEMPLATE,
)
