from __future__ import annotations

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from v2drop_cli.prove.cases.case import Case, noise, piece

IMAGE, VIDEO, START, END = 3, 4, 5, 6
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
}
TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|vision_start|><|{{ item['type'] }}_pad|><|vision_end|>{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PATCH = 4


def config(text, ids):
    vision = {
        "depth": 2,
        "embed_dim": 16,
        "hidden_size": 32,
        "num_heads": 2,
        "patch_size": PATCH,
        "initializer_range": 0.3,
    }
    return Qwen2VLConfig(vision_config=vision, text_config={**text, "rope_parameters": ROPE}, **ids)


def image(seed: int):
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * 2 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


def video(seed: int):
    """Two steps of 2 x 3 tokens, or three of 3 x 2."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * 2 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    return piece([START, *[VIDEO] * (t * h * w), END], VIDEO, tensors, kind=2)


def vision_processors():
    """Pictures of at most 32 x 32 pixels, so 16 tokens."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    return Qwen2VLImageProcessor(**sizes), Qwen2VLVideoProcessor(**sizes)


def processor(tokenizer):
    from transformers import Qwen2VLProcessor

    images, videos = vision_processors()
    return Qwen2VLProcessor(image_processor=images, tokenizer=tokenizer, video_processor=videos)


CASE = Case(
    name="qwen2_vl",
    model=Qwen2VLForConditionalGeneration,
    config=config,
    ids=IDS,
    image=image,
    video=video,
    types=True,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
)
