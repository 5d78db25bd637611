from __future__ import annotations

from tests.families.case import extended
from tests.families.muse_glimmer import CASE as MUSE_GLIMMER
from tests.families.muse_glimmer import TEMPLATE
from v2drop_cli.prove.cases.muse_spark import CASE as BASE
from v2drop_cli.prove.cases.qwen2_vl import PATCH


def processor(tokenizer):
    from transformers import (
        MuseGlimmerImageProcessor,
        MuseGlimmerVideoProcessor,
        MuseSparkFeatureExtractor,
        MuseSparkProcessor,
    )

    return MuseSparkProcessor(
        image_processor=MuseGlimmerImageProcessor(patch_size=PATCH, max_image_tokens=16),
        video_processor=MuseGlimmerVideoProcessor(patch_size=PATCH, max_video_frame_tokens=12),
        tokenizer=tokenizer,
        feature_extractor=MuseSparkFeatureExtractor(),
    )


CASE = extended(
    BASE,
    tokens=MUSE_GLIMMER.tokens,
    processor=processor,
    specials=(
        *MUSE_GLIMMER.specials,
        *("<|audio|>", "<|soft_audio_start|>", "<|soft_audio_end|>"),
    ),
    template=TEMPLATE,
    asked=MUSE_GLIMMER.asked,
)
