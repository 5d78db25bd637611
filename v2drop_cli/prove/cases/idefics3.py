from __future__ import annotations

import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3VisionConfig,
    LlamaConfig,
)

from v2drop_cli.prove.cases.case import PAD, Case, noise, piece

IMAGE, FAKE, GLOBAL, NEWLINE = 3, 5, 8, 9
MARKERS = {(0, 0): 6, (0, 1): 7, (1, 0): 4}  # <row_1_col_1> and so on
SIDE, TOKENS = 16, 4  # 4 x 4 patches of 4 pixels, shuffled to 2 x 2 tokens
VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 4,
    "initializer_range": 0.3,
}
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}: "
    "{% for item in message['content'] %}"
    "{{ item['text'] if item['type'] == 'text' else '<' + item['type'] + '>' }}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def config(text, ids):
    return Idefics3Config(
        vision_config=Idefics3VisionConfig(**VISION),
        text_config=LlamaConfig(**text),
        scale_factor=2,
        pad_token_id=PAD,
        **ids,
    )


def whole():
    return [FAKE, GLOBAL, *[IMAGE] * TOKENS, FAKE]


def image(seed: int):
    """Tiles, row by row, a line break after each row, and the whole picture."""
    rows, columns = [(1, 2), (2, 1), (0, 0)][seed % 3]
    ids: list[int] = []
    for row in range(rows):
        for column in range(columns):
            ids += [FAKE, MARKERS[row, column], *[IMAGE] * TOKENS]
        ids.append(NEWLINE)
    ids += [NEWLINE] * bool(rows) + whole()
    pixels = noise(1, rows * columns + 1, 3, SIDE, SIDE, seed=seed)
    return piece(ids, IMAGE, {"pixel_values": pixels})


def join_rows(rows):
    """A row's tiles beside each other, filled up with empty ones, as processors give them."""
    empty = torch.zeros(1, 0, 3, SIDE, SIDE)
    tiles = [torch.cat([empty, *(p.tensors["pixel_values"] for p in row)], 1) for row in rows]
    most = max(t.shape[1] for t in tiles)
    fills = [(0, 0, 0, 0, 0, 0, 0, most - t.shape[1]) for t in tiles]
    filled = [torch.nn.functional.pad(t, f) for t, f in zip(tiles, fills, strict=True)]
    pixels = torch.cat(filled)
    return {"pixel_values": pixels, "pixel_attention_mask": pixels.any(dim=2).long()}


def processor(tokenizer):
    from transformers import Idefics3ImageProcessor, Idefics3Processor

    images = Idefics3ImageProcessor(
        size={"longest_edge": 4 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    return Idefics3Processor(image_processor=images, tokenizer=tokenizer, image_seq_len=TOKENS)


SPECIALS = (
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
)

CASE = Case(
    name="idefics3",
    model=Idefics3ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE},
    image=image,
    join=join_rows,
    tokens={"image_token_id": "<image>"},
    processor=processor,
    specials=SPECIALS,
    template=TEMPLATE,
    layers=lambda model: model.model.text_model.layers,
)
