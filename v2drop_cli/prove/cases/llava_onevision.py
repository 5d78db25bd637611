from __future__ import annotations

import torch
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, join, noise, piece

IMAGE, VIDEO = 3, 4
SIDE = 16
TILES = [[16, 16], [16, 32], [32, 16], [32, 32]]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<' + item['type'] + '>\\n' }}{% endfor %}"
    "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def config(text, ids):
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=4,
        vision_use_head=False,
    )
    return LlavaOnevisionConfig(
        vision_config=vision, text_config=Qwen2Config(**text), image_grid_pinpoints=TILES, **ids
    )


def image(seed: int):
    """Height and width, tiles with the thumbnail, tokens: 4 x 4 and r rows of c and a newline."""
    size, tiles, tokens = [
        ((16, 32), 3, 16 + 4 * (8 + 1)),
        ((8, 32), 3, 16 + 2 * (8 + 1)),  # the tiles' padding above and below is cut
        ((16, 16), 2, 16 + 4 * (4 + 1)),
    ][seed % 3]
    return tiled(size, tiles, tokens, seed)


def tiled(size, tiles, tokens, seed):
    tensors = {
        "pixel_values": noise(1, tiles, 3, SIDE, SIDE, seed=seed),
        "image_sizes": torch.tensor([size]),
    }
    return piece([IMAGE] * tokens, IMAGE, tensors)


def image_of_several(seed: int):
    """The thumbnail and a newline."""
    return tiled((16, 32), 1, 16 + 1, seed)


def video(seed: int):
    """Three frames of 2 x 2 pooled tokens and a newline."""
    frames = {"pixel_values_videos": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (3 * 4 + 1), VIDEO, frames, kind=2)


def pad_tiles(rows):
    """All images of a batch with the same number of tiles, as processors give them."""
    pieces = [p for row in rows for p in row]
    most = max((p.tensors["pixel_values"].shape[1] for p in pieces if p.kind == 1), default=0)
    for p in pieces:
        if p.kind == 1:
            pixels = p.tensors["pixel_values"]
            fill = pixels.new_zeros(1, most - pixels.shape[1], *pixels.shape[2:])
            p.tensors["pixel_values"] = torch.cat([pixels, fill], 1)
    return join(pieces)


def join_rows(rows):
    tensors = pad_tiles(rows)
    if "pixel_values" in tensors:
        counts = [sum(p.kind == 1 for p in row) for row in rows]
        tensors["batch_num_images"] = torch.tensor(counts)
    return tensors


def processor(tokenizer):
    from transformers import (
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    size = {"height": SIDE, "width": SIDE}
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=TILES),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )


CASE = Case(
    name="llava_onevision",
    model=LlavaOnevisionForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    image_of_several=image_of_several,
    video=video,
    join=join_rows,
    tokens={"image_token_id": "<image>", "video_token_id": "<video>"},
    processor=processor,
    template=TEMPLATE,
)
