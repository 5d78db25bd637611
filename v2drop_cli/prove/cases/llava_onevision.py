"""LLaVA-OneVision at tiny size: a SigLIP tower, tiles, newline tokens, video."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

from v2drop_cli.prove.cases.case import Case, Piece, Rows, Tensors, join, noise, piece

IMAGE, VIDEO = 3, 4
SIDE = 16
TILES = [[16, 16], [16, 32], [32, 16], [32, 32]]


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
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


def image(seed: int) -> Piece:
    """Height and width, tiles with the thumbnail, tokens: 4 x 4 and r rows of c and a newline."""
    size, tiles, tokens = [
        ((16, 32), 3, 16 + 4 * (8 + 1)),
        ((8, 32), 3, 16 + 2 * (8 + 1)),  # the tiles' padding above and below is cut
        ((16, 16), 2, 16 + 4 * (4 + 1)),
    ][seed % 3]
    return tiled(size, tiles, tokens, seed)


def tiled(size: tuple[int, int], tiles: int, tokens: int, seed: int) -> Piece:
    """An image of so many tiles that becomes so many tokens."""
    tensors = {
        "pixel_values": noise(1, tiles, 3, SIDE, SIDE, seed=seed),
        "image_sizes": torch.tensor([size]),
    }
    return piece([IMAGE] * tokens, IMAGE, tensors)


def image_of_several(seed: int) -> Piece:
    """The thumbnail and a newline."""
    return tiled((16, 32), 1, 16 + 1, seed)


def video(seed: int) -> Piece:
    """Three frames of 2 x 2 pooled tokens and a newline."""
    frames = {"pixel_values_videos": noise(1, 3, 3, SIDE, SIDE, seed=seed)}
    return piece([VIDEO] * (3 * 4 + 1), VIDEO, frames, kind=2)


def pad_tiles(rows: Rows) -> Tensors:
    """All images of a batch with the same number of tiles, as processors give them."""
    pieces = [p for row in rows for p in row]
    most = max((p.tensors["pixel_values"].shape[1] for p in pieces if p.kind == 1), default=0)
    for p in pieces:
        if p.kind == 1:
            pixels = p.tensors["pixel_values"]
            fill = pixels.new_zeros(1, most - pixels.shape[1], *pixels.shape[2:])
            p.tensors["pixel_values"] = torch.cat([pixels, fill], 1)
    return join(pieces)


def join_rows(rows: Rows) -> Tensors:
    """Tiles filled up, and how many images each prompt has."""
    tensors = pad_tiles(rows)
    if "pixel_values" in tensors:
        counts = [sum(p.kind == 1 for p in row) for row in rows]
        tensors["batch_num_images"] = torch.tensor(counts)
    return tensors


CASE = Case(
    name="llava_onevision",
    model=LlavaOnevisionForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    image_of_several=image_of_several,
    video=video,
    join=join_rows,
)
