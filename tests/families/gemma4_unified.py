from __future__ import annotations

from tests.families.case import extended
from tests.families.gemma4 import NAMED, TEMPLATE, TOKENS
from v2drop_cli.prove.cases.gemma4 import LONGEST, PATCH, POOLED
from v2drop_cli.prove.cases.gemma4_unified import CASE as BASE


def processor(tokenizer):
    """Pictures and frames of at most 70 tokens, the least that its processors take."""
    from transformers import (
        Gemma4UnifiedAudioFeatureExtractor,
        Gemma4UnifiedImageProcessor,
        Gemma4UnifiedProcessor,
        Gemma4UnifiedVideoProcessor,
    )

    sizes = {"patch_size": PATCH, "pooling_kernel_size": POOLED, "max_soft_tokens": LONGEST}
    return Gemma4UnifiedProcessor(
        Gemma4UnifiedAudioFeatureExtractor(),
        Gemma4UnifiedImageProcessor(**sizes),
        tokenizer,
        Gemma4UnifiedVideoProcessor(**sizes),
    )


CASE = extended(
    BASE,
    tokens=TOKENS,
    named_tokens=NAMED,
    specials=("<|audio>", "<audio|>", "<|turn>", "<turn|>"),
    processor=processor,
    template=TEMPLATE,
)
