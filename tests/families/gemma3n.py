from __future__ import annotations

from tests.families.case import extended
from tests.families.gemma3 import TEMPLATE
from v2drop_cli.prove.cases.gemma3n import CASE as BASE
from v2drop_cli.prove.cases.gemma3n import SIDE, TOKENS


def processor(tokenizer):
    from transformers import Gemma3nAudioFeatureExtractor, Gemma3nProcessor, SiglipImageProcessor

    images = SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    hears = Gemma3nAudioFeatureExtractor()
    return Gemma3nProcessor(hears, images, tokenizer, image_seq_length=TOKENS)


CASE = extended(
    BASE,
    tokens={
        "image_token_id": "<image_soft_token>",
        "boi_token_id": "<start_of_image>",
        "eoi_token_id": "<end_of_image>",
        "audio_token_id": "<audio_soft_token>",
    },
    named_tokens={
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "audio_token": "<audio_soft_token>",
        "boa_token": "<start_of_audio>",
        "eoa_token": "<end_of_audio>",
    },
    processor=processor,
    needs=("timm",),  # a saved model is loaded with timm's tower, whatever its tower was
    specials=("<start_of_turn>", "<end_of_turn>", "<start_of_audio>", "<end_of_audio>"),
    template=TEMPLATE.replace("<start_of_image>", "<image_soft_token>"),
)
