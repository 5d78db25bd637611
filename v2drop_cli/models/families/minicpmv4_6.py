"""MiniCPM-V 4.6, 4.7 and MiniCPM-OCR: slices of any shape around a Qwen3.5 decoder.

A picture is a thumbnail and, if it is large, up to nine slices of it, row by row; so is each frame
of a video. Every placeholder between ``<image>`` and ``</image>`` or ``<slice>`` and ``</slice>``
is droppable; these markers, the line breaks between rows of slices and the numbers of pictures are
text and stay. Of 4.6 and the OCR model each token is at its place in the sequence; 4.7 lays
pictures out on a canvas of three axes (M-RoPE). Either is kept, and the decoder's layers are
Qwen3.5's: see there what a drop means where they have linear attention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from v2drop_cli.models import chat
from v2drop_cli.models.arguments import parameters_of
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.decoders import refuse_folding
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.qwen3_5 import QWEN3_5
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

# Two slices of a row have this many markers between them; a line break makes it more.
_BETWEEN = 2
# Of the published processors' classes: most slices, and the side of the square that one fills.
_SLICES, _RESOLUTION = 9, 448


def _merge(config: Any) -> int:
    """Patches that one token stands for, each way."""
    return 2 if config.downsample_mode == "4x" else 4


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per thumbnail and per slice, in prompt order."""
    waiting = {
        config.image_token_id: _sizes(config, tensors.get("target_sizes")),
        config.video_token_id: _sizes(config, tensors.get("target_sizes_videos")),
    }
    return tuple(_row(ids, waiting) for ids in tensors["input_ids"].tolist())


def _sizes(config: Any, sizes: Tensor | None) -> Iterator[tuple[int, int]]:
    """Rows and columns of tokens of each crop."""
    merge = _merge(config)
    return ((h // merge, w // merge) for h, w in ([] if sizes is None else sizes.tolist()))


def _row(ids: list[int], waiting: Mapping[int, Iterator[tuple[int, int]]]) -> tuple[Grid, ...]:
    runs: list[tuple[int, int, tuple[int, int]]] = []  # start, end, rows and columns
    for token, run in groupby(enumerate(ids), lambda item: item[1]):
        size = next(waiting[token], None) if token in waiting else None
        if size is not None:
            places = [place for place, _ in run]
            runs.append((places[0], places[-1] + 1, size))
    grids: list[Grid] = []
    slices: list[tuple[int, int, tuple[int, int]]] = []
    for start, end, size in [*runs, (0, 0, (0, 0))]:
        # What comes first is a thumbnail, so the marker before it stands for thumbnails.
        if not end or ids[start - 1] == ids[runs[0][0] - 1]:
            grids += _cells(slices)
            grids += [Grid(1, *size)] if end else []
            slices = []
        else:
            slices.append((start, end, size))
    return tuple(grids)


def _cells(slices: Sequence[tuple[int, int, tuple[int, int]]]) -> list[Grid]:
    """Slices of one picture: a row of them ends where more than two markers follow."""
    ends = (n for n in range(1, len(slices)) if slices[n][0] - slices[n - 1][1] > _BETWEEN)
    columns = next(ends, len(slices))
    rows = len(slices) // max(1, columns)
    return [
        Grid(1, *size, (c / columns, r / rows, (c + 1) / columns, (r + 1) / rows))
        for (_, _, size), (r, c) in zip(
            slices, (divmod(n, columns) for n in range(len(slices))), strict=True
        )
    ]


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Markers are ids that are no placeholders: of a made-up picture only their number counts."""
    start, end, slice_start, slice_end, line = _markers(config)
    merge, patch = _merge(config), config.vision_config.patch_size
    ids: list[list[int]] = []
    crops: dict[str, list[tuple[int, int]]] = {"": [], "_videos": []}
    for item in media:
        token = config.image_token_id if item.frames is None else config.video_token_id
        columns, sizes = _cut(config, item)
        counts = [(h // merge) * (w // merge) for h, w in sizes]
        one = [start, *[token] * counts[0], end]
        for n, count in enumerate(counts[1:]):
            one += [line] if n and n % columns == 0 else []
            one += [slice_start, *[token] * count, slice_end]
        ids.append(one * (item.frames or 1))
        crops["" if item.frames is None else "_videos"] += sizes * (item.frames or 1)
    tensors: dict[str, Tensor] = {}
    for name, sizes in crops.items():
        if sizes:
            width = sum(h * w for h, w in sizes) * patch
            tensors[f"pixel_values{name}"] = noise(1, 3, patch, width)
            tensors[f"target_sizes{name}"] = torch.tensor(sizes, dtype=torch.int32)
    return Synthetic(ids, tensors)


def _markers(config: Any) -> tuple[int, ...]:
    """Start and end of a thumbnail, of a slice, and a line break; 4.7 names them."""
    names = ("image_start_id", "image_end_id", "slice_start_id", "slice_end_id", "newline_id")
    free = (n for n in range(5, 20) if n not in (config.image_token_id, config.video_token_id))
    return tuple(getattr(config, name, None) or next(free) for name in names)


def _cut(config: Any, item: SyntheticMedia) -> tuple[int, list[tuple[int, int]]]:
    """Columns of slices, and the patches of the thumbnail and of each slice."""
    from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
        MiniCPMV4_6ImageProcessorPil,
    )

    rule, patch = MiniCPMV4_6ImageProcessorPil(), config.vision_config.patch_size
    size = (item.height, item.width)
    cut = rule.get_sliced_grid(size, _SLICES, _RESOLUTION)
    options = {"downsample_mode": config.downsample_mode}
    if "downsample_mode" not in parameters_of(MiniCPMV4_6ImageProcessorPil.find_best_resize):
        options = {}  # the processor of transformers 5.17 fits all to two merges
    whole = rule.find_best_resize(size, _RESOLUTION, patch, allow_upscale=cut is None, **options)
    sizes = [(whole[0] // patch, whole[1] // patch)]
    rows, columns = cut or (0, 0)
    if cut is not None:
        fit = rule.get_refine_size(size, cut, _RESOLUTION, patch, allow_upscale=True, **options)
        sizes += [(fit[0] // rows // patch, fit[1] // columns // patch)] * (rows * columns)
    return columns, sizes


def _projector(model: Module) -> Module:
    part: Module = inner_model(model).merger  # type: ignore[assignment]
    return part


def _refusal(config: Any) -> str | None:
    if config.image_token_id is None or config.video_token_id is None:
        return "its configuration does not say which tokens stand for pictures"
    return refuse_folding(config)


MINICPMV4_6 = Family(
    name="minicpmv4_6",
    model_types=("minicpmv4_6", "minicpm_ocr"),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=chat.process,
    packed=("pixel_values", "pixel_values_videos"),
    vision_tower=vision_tower,
    projector=_projector,
    projections=QWEN3_5.projections,
    refusal=_refusal,
    synthetic=_synthetic,
)
