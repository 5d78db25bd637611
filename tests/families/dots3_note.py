from __future__ import annotations

from tests.families.case import extended
from tests.families.qwen2_vl import TEMPLATE
from v2drop_cli.prove.cases.dots3_note import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH


def processor(tokenizer):
    """A frame stands for itself: no time step has two."""
    from transformers import (
        Dots3NoteFeatureExtractor,
        Dots3NoteProcessor,
        Qwen2VLImageProcessor,
        Qwen3VLVideoProcessor,
    )

    sizes = {"patch_size": PATCH, "temporal_patch_size": 1}
    return Dots3NoteProcessor(
        Qwen2VLImageProcessor(**sizes, size={"shortest_edge": 64, "longest_edge": 1024}),
        tokenizer,
        Qwen3VLVideoProcessor(**sizes, size={"shortest_edge": 64, "longest_edge": 4096}),
        Dots3NoteFeatureExtractor(feature_size=8),
    )


CASE = extended(
    BASE,
    tokens={
        "image_token_id": "<|imgpad|>",
        "video_token_id": "<|video_pad|>",
    },
    named_tokens={"audio_token": "<|audio_comp_pad|>"},
    processor=processor,
    specials=("<|vision_start|>", "<|vision_end|>"),
    template=TEMPLATE.replace(
        "<|{{ item['type'] }}_pad|>",
        "{{ '<|imgpad|>' if item['type'] == 'image' else '<|video_pad|>' }}",
    ),
)
