from __future__ import annotations

import torch
from transformers import Glm4vConfig, Glm4vForConditionalGeneration

from v2drop_cli.prove.cases.case import FIRST_WORD, Case, noise, piece
from v2drop_cli.prove.cases.qwen2_vl import PATCH

IMAGE, VIDEO, START, END, VIDEO_START, VIDEO_END = 3, 4, 5, 6, 7, 8
# Heads of 16, of which half is rotated: four frequencies.
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1}
ROPE = {
    "rope_type": "default",
    "mrope_section": [1, 1, 2],
    "partial_rotary_factor": 0.5,
    "rope_theta": 1e4,
}
VISION = {
    "depth": 2,
    "hidden_size": 16,
    "out_hidden_size": 32,
    "intermediate_size": 24,
    "num_heads": 2,
    "image_size": 32,
    "patch_size": PATCH,
    "initializer_range": 0.3,
}
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "image_start_token_id": START,
    "image_end_token_id": END,
    "video_start_token_id": VIDEO_START,
    "video_end_token_id": VIDEO_END,
}
TOKENS = {
    "image_token_id": "<|image|>",
    "video_token_id": "<|video|>",
    "image_start_token_id": "<|begin_of_image|>",
    "image_end_token_id": "<|end_of_image|>",
    "video_start_token_id": "<|begin_of_video|>",
    "video_end_token_id": "<|end_of_video|>",
}
TEMPLATE = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
    "{% for item in message['content'] %}{% if item['type'] == 'text' %}{{ item['text'] }}"
    "{% else %}<|begin_of_{{ item['type'] }}|><|{{ item['type'] }}|><|end_of_{{ item['type'] }}|>"
    "{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def config(text, ids):
    text = {**text, **HEADS, "rope_parameters": ROPE}
    return Glm4vConfig(vision_config=VISION, text_config=text, **ids)


def image(seed: int):
    """Pictures of 4 x 3, 3 x 5 or 4 x 4 tokens."""
    h, w = [(4, 3), (3, 5), (4, 4)][seed % 3]
    tensors = {
        "pixel_values": noise(4 * h * w, 3 * 2 * PATCH**2, seed=seed),
        "image_grid_thw": torch.tensor([[1, 2 * h, 2 * w]]),
    }
    return piece([START, *[IMAGE] * (h * w), END], IMAGE, tensors)


def video(seed: int):
    """Two steps of 2 x 3 tokens or three of 3 x 2 under an image's id, a word after each."""
    t, h, w = [(2, 2, 3), (3, 3, 2)][seed % 2]
    tensors = {
        "pixel_values_videos": noise(4 * t * h * w, 3 * 2 * PATCH**2, seed=seed),
        "video_grid_thw": torch.tensor([[t, 2 * h, 2 * w]]),
    }
    step = [START, *[IMAGE] * (h * w), END, FIRST_WORD + 1]
    return piece([VIDEO_START, *(step * t), VIDEO_END], IMAGE, tensors, kind=2)


def processor(tokenizer):
    """Pictures of at most 32 x 32 pixels, so 16 tokens; a picture counts as two frames."""
    from transformers import Glm4vImageProcessor, Glm4vProcessor, Glm4vVideoProcessor

    sizes = {"patch_size": PATCH, "size": {"shortest_edge": 64, "longest_edge": 2048}}
    videos = {**sizes, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    return Glm4vProcessor(
        image_processor=Glm4vImageProcessor(**sizes),
        tokenizer=tokenizer,
        video_processor=Glm4vVideoProcessor(**videos),
    )


CASE = Case(
    name="glm4v",
    model=Glm4vForConditionalGeneration,
    config=config,
    ids=IDS,
    image=image,
    video=video,
    mixed=False,
    types=True,
    tokens=TOKENS,
    processor=processor,
    template=TEMPLATE,
)
