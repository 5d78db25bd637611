"""MiniCPM-V 4.6 at tiny size: thumbnails and slices between markers, a Qwen3.5 decoder."""

from __future__ import annotations

from typing import Any

import torch
from transformers import MiniCPMV4_6Config, MiniCPMV4_6ForConditionalGeneration, Qwen3_5TextConfig

from v2drop_cli.prove.cases.case import Case, Piece, Rows, Tensors, noise, piece
from v2drop_cli.prove.cases.qwen3_5 import LAYERS

IMAGE, VIDEO, START, END, SLICE, SLICE_END, LINE = 3, 4, 5, 6, 7, 8, 9
PATCH, MERGE = 4, 4  # pixels of a patch, patches of a token, each way
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": PATCH,
}
SIZES: dict[str, Any] = {"vision_config": VISION, "insert_layer_id": 0}


def config(text: dict[str, Any], ids: dict[str, Any]) -> Any:
    """A tiny configuration."""
    return MiniCPMV4_6Config(text_config=Qwen3_5TextConfig(**{**text, **LAYERS}), **SIZES, **ids)


def crops(shapes: list[tuple[int, int]], columns: int, token: int) -> list[int]:
    """The ids of a thumbnail and its slices, of so many rows and columns of tokens."""
    counts = [h * w for h, w in shapes]
    ids = [START, *[token] * counts[0], END]
    for n, count in enumerate(counts[1:]):
        ids += [LINE] * (n > 0 and n % columns == 0) + [SLICE, *[token] * count, SLICE_END]
    return ids


def tensors(shapes: list[tuple[int, int]], name: str, seed: int) -> Tensors:
    """Pixels and sizes in patches of crops of so many tokens."""
    sizes = torch.tensor([(h * MERGE, w * MERGE) for h, w in shapes], dtype=torch.int32)
    width = int(sizes.prod(-1).sum()) * PATCH
    return {
        f"pixel_values{name}": noise(1, 3, PATCH, width, seed=seed),
        f"target_sizes{name}": sizes,
    }


def image(seed: int) -> Piece:
    """A picture of 3 x 4 tokens; or a thumbnail of 2 x 3 and 2 x 1 or 1 x 2 slices of 2 x 2."""
    shapes, columns = [
        ([(3, 4)], 1),
        ([(2, 3), (2, 2), (2, 2)], 1),
        ([(2, 3), (2, 2), (2, 2)], 2),
    ][seed % 3]
    return piece(crops(shapes, columns, IMAGE), IMAGE, tensors(shapes, "", seed))


def video(seed: int) -> Piece:
    """Two frames of 2 x 3 tokens, or three of 2 x 2."""
    shapes = [[(2, 3)] * 2, [(2, 2)] * 3][seed % 2]
    ids = [i for shape in shapes for i in crops([shape], 1, VIDEO)]
    return piece(ids, VIDEO, tensors(shapes, "_videos", seed), kind=2)


def join_rows(rows: Rows) -> Tensors:
    """The patches of all crops of a batch in one row, as processors give them."""
    pieces = [p for row in rows for p in row]
    names = dict.fromkeys(name for p in pieces for name in p.tensors)
    return {
        name: torch.cat(
            [p.tensors[name] for p in pieces if name in p.tensors],
            dim=-1 if name.startswith("pixel_values") else 0,
        )
        for name in names
    }


CASE = Case(
    name="minicpmv4_6",
    model=MiniCPMV4_6ForConditionalGeneration,
    config=config,
    ids={"image_token_id": IMAGE, "video_token_id": VIDEO},
    image=image,
    video=video,
    join=join_rows,
)
