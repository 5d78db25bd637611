from __future__ import annotations

from tests.families.case import extended
from v2drop_cli.prove.cases.gemma4 import CASE as BASE
from v2drop_cli.prove.cases.gemma4 import LONGEST, PATCH, POOLED

TOKENS = {
    "image_token_id": "<|image|>",
    "video_token_id": "<|video|>",
    "boi_token_id": "<|image>",
    "eoi_token_id": "<image|>",
    "audio_token_id": "<|audio|>",
}
NAMED = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
TEMPLATE = (
    "<s>{% for message in messages %}<|turn>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}\n\n<|{{ item['type'] }}|>\n\n{% endif %}{% endfor %}<turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn>model\n{% endif %}"
)


def processor_of(model):
    """Of a model's class names: pictures and frames of at most 70 tokens, the least they take."""

    def processor(tokenizer):
        import transformers

        names = ("AudioFeatureExtractor", "ImageProcessor", "Processor", "VideoProcessor")
        hears, looks, whole, watches = (getattr(transformers, f"{model}{name}") for name in names)
        sizes = {"patch_size": PATCH, "pooling_kernel_size": POOLED, "max_soft_tokens": LONGEST}
        return whole(hears(), looks(**sizes), tokenizer, watches(**sizes))

    return processor


WORDS = {
    "tokens": TOKENS,
    "named_tokens": NAMED,
    "specials": ("<|audio>", "<audio|>", "<|turn>", "<turn|>"),
    "template": TEMPLATE,
}
CASE = extended(BASE, processor=processor_of("Gemma4"), **WORDS)
