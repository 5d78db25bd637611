"""Molmo 2: overlapping crops of a picture, videos, and pictures that attend both ways.

A picture is shown whole, then again at a higher resolution; a token pools 2 x 2 patches of it, or
3 x 3 of a frame. Every ``<im_patch>`` is droppable. What stands between them is text and stays: the
mark after each row, the marks around a picture or a frame, a frame's time in seconds.

All that belongs to pictures, their marks too, attends to all else that does, in both directions;
the text around and between attends causally. A shortened layer keeps this. Flash kernels are
refused: they take no mask, so transformers cannot tell them what attends both ways. The model takes
images or one video in a prompt, not both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models import chat
from v2drop_cli.models.arguments import CACHE
from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.glm4v import FRAME, refuse_both
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.projections import Projections, unknown_decoder
from v2drop_cli.models.shown import Box, placed, rule_for
from v2drop_cli.models.spans import counted_grids
from v2drop_cli.models.synthetic.patches import FRAMES_PER_S, WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid, MediaRecord

if TYPE_CHECKING:
    from v2drop_cli.media import Media

TYPES = "mm_token_type_ids"  # 1 for all that belongs to a picture or a frame
# Of transformers' processors: the most crops; of 27 patches along a crop's side, those at either
# end that the next crop has, too; patches of a token each way, of pictures and of frames.
_CROPS, _SHARED, _POOLED, _POOLED_OF_A_FRAME = 8, 4 / 27, 2, 3


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """Two grids a picture: whole, then at a higher resolution; one grid a frame."""
    return counted_grids(config, tensors, chain(_of_images(tensors), _of_frames(tensors)))


def _of_images(tensors: Mapping[str, Tensor]) -> Iterator[Grid]:
    for low_rows, low_columns, rows, columns in _listed(tensors, "image_grids"):
        yield Grid(1, low_rows, low_columns)
        yield Grid(1, rows, columns)


def _of_frames(tensors: Mapping[str, Tensor]) -> Iterator[Grid]:
    for frames, rows, columns in _listed(tensors, "video_grids"):
        yield from [Grid(1, rows, columns)] * frames


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """All of it; where patches do not fill the last window of a token, that reaches beyond."""
    rule = rule_for(processor, record.kind)
    patch, pool = rule.patch_size, rule.pooling_size
    square = (rule.size["height"], rule.size["width"])
    canvases = [square] * len(grids)
    if record.kind == "image" and len(grids) == 2:  # the second in more detail
        from transformers.models.molmo2.image_processing_molmo2 import compute_crop_geometry

        limits = (rule.max_crops, list(rule.overlap_margins), square[0], patch)
        canvases[1] = compute_crop_geometry(record.height, record.width, *limits)[2:]
    return [_windows([side // patch for side in canvas], pool) for canvas in canvases]


def _windows(patches: Sequence[int], pool: Sequence[int]) -> Box:
    """Windows of patches over a picture of (rows, columns) patches, as even as they can be."""
    more = [-count % window for count, window in zip(patches, pool, strict=True)]
    (rows, columns), (below, right) = patches, (a + b for a, b in zip(patches, more, strict=True))
    return placed((more[1] // 2, more[0] // 2), (columns, rows), (right, below))


def _listed(tensors: Mapping[str, Tensor], name: str) -> list[list[int]]:
    found: list[list[int]] = tensors[name].tolist() if name in tensors else []
    return found


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    refuse_both({item.kind for item in media}, config)
    if sum(item.kind == "video" for item in media) > 1:
        raise MediaArgumentError(
            f"{config.model_type} models take one video in a prompt",
            hint="ask about one after the other",
        )
    return chat.process(processor, config, media, prompt)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Crops and frames of noise, and which of their patches a token pools."""
    refuse_both({"image" if item.frames is None else "video" for item in media}, config)
    ids, types = [], []
    for item in media:
        made = _image_span(config, item) if item.frames is None else _clip_span(config, item)
        ids.append(made)
        types.append([int(token != WORD or item.frames is None) for token in made])
    if not media:
        return Synthetic([], {})
    clips = [item for item in media if item.frames is not None]
    return Synthetic(ids, _clips(config, clips) if clips else _crops(config, media), types)


def _crop(config: Any) -> tuple[int, int, int]:
    """Of a crop: pixels and patches along a side, and patches at an end that the next one has."""
    side, patch = config.vision_config.image_size[0], config.vision_config.patch_size
    return side, side // patch, max(1, round(side // patch * _SHARED))


def _canvas(config: Any, item: SyntheticMedia) -> tuple[int, int, int, int]:
    """Rows and columns of crops, and of patches of all of them joined: the processor's rule."""
    from transformers.models.molmo2.image_processing_molmo2 import compute_crop_geometry

    (side, _, shared), patch = _crop(config), config.vision_config.patch_size
    found = compute_crop_geometry(item.height, item.width, _CROPS, [shared, shared], side, patch)
    return found[0], found[1], found[2] // patch, found[3] // patch


def _image_span(config: Any, item: SyntheticMedia) -> list[int]:
    """The picture as a whole, then its crops; the mark after a row is a word."""
    _, patches, _ = _crop(config)
    *_, rows, columns = (-(-n // _POOLED) for n in _canvas(config, item))
    low = -(-patches // _POOLED)
    token, end = config.image_token_id, config.image_end_token_id
    whole = [config.low_res_image_start_token_id, *[*[token] * low, WORD] * low, end]
    return [*whole, config.image_start_token_id, *[*[token] * columns, WORD] * rows, end]


def _clip_span(config: Any, item: SyntheticMedia) -> list[int]:
    """Frames between their marks, each after its time: a word for every digit, point and space."""
    side = -(-_crop(config)[1] // _POOLED_OF_A_FRAME)
    start, end = config.frame_start_token_id, config.frame_end_token_id
    frame, ids = [start, *[config.image_token_id] * side**2, end], []
    for n in range(item.frames or 0):
        ids += [*[WORD] * len(f"{' ' * (n > 0)}{n / FRAMES_PER_S:.1f} "), *frame]
    return ids


def _crops(config: Any, images: Sequence[SyntheticMedia]) -> dict[str, Tensor]:
    """Each picture as a whole, then cut."""
    (_, patches, _), pooled, grids = _crop(config), [], []
    counts: list[int] = []
    for item in images:
        before = sum(counts) * patches**2
        whole, low = _pool(torch.arange(patches**2).view(patches, patches), _POOLED)
        cut, high = _pool(_joined(config, item) + patches**2, _POOLED)
        both = torch.cat([whole, cut])
        pooled.append(torch.where(both < 0, both, both + before))
        grids.append([*low, *high])
        counts.append(1 + math.prod(_canvas(config, item)[:2]))
    values = 3 * config.vision_config.patch_size**2
    return {
        IMAGE.pixels: noise(sum(counts), patches**2, values),
        "image_token_pooling": torch.cat(pooled).int(),
        "image_grids": torch.tensor(grids),
        "image_num_crops": torch.tensor(counts),
    }


def _joined(config: Any, item: SyntheticMedia) -> Tensor:
    """``[rows, columns]``: the number of each patch, counted crop by crop, where crops overlap."""
    (down, across, *_), (_, patches, shared) = _canvas(config, item), _crop(config)
    numbers = torch.arange(down * across * patches**2).view(down, across, patches, patches)
    inner = slice(shared, patches - shared)
    # Each crop's own patches, and at the picture's edges those that no other crop has.
    rows = [_own(n, down, patches, inner) for n in range(down)]
    columns = [_own(n, across, patches, inner) for n in range(across)]
    return torch.cat(
        [
            torch.cat([numbers[y, x, rows[y], columns[x]] for x in range(across)], dim=1)
            for y in range(down)
        ]
    )


def _own(n: int, of: int, patches: int, inner: slice) -> slice:
    """Which patches of crop ``n`` of so many in a row are its own."""
    return slice(0 if n == 0 else inner.start, patches if n == of - 1 else inner.stop)


def _pool(numbers: Tensor, window: int) -> tuple[Tensor, list[int]]:
    """``[tokens, window²]`` patches of each token, -1 beyond the edge; its rows and columns."""
    more = [-side % window for side in numbers.shape]
    edges = [part for n in reversed(more) for part in (n // 2, n - n // 2)]
    padded = torch.nn.functional.pad(numbers, edges, value=-1)
    windows = padded.unfold(0, window, window).unfold(1, window, window)
    rows, columns = windows.shape[:2]
    return windows.flatten(2).flatten(0, 1), [rows, columns]


def _clips(config: Any, clips: Sequence[SyntheticMedia]) -> dict[str, Tensor]:
    """Frames as they are, each in one crop."""
    patches = _crop(config)[1]
    numbers = torch.arange(patches**2).view(patches, patches)
    frame, sides = _pool(numbers, _POOLED_OF_A_FRAME)
    frames = sum(clip.frames or 0 for clip in clips)
    moved = frame + patches**2 * torch.arange(frames)[:, None, None]
    return {
        FRAME.pixels: noise(frames, patches**2, 3 * config.vision_config.patch_size**2),
        "video_token_pooling": torch.where(frame < 0, frame, moved).flatten(0, 1),
        "video_grids": torch.tensor([[clip.frames or 0, *sides] for clip in clips]),
    }


def _blocks(config: Any, arguments: Mapping[str, Any]) -> Tensor | None:
    """One block for all pictures of a row, when the model itself makes one: at a prefill."""
    types, cache = arguments.get(TYPES), arguments.get(CACHE)
    first = cache is None or not cache.is_initialized
    shown = IMAGE.filled(arguments) or FRAME.filled(arguments)
    if types is None or not (first or shown):
        return None
    return torch.where(types == 1, 0, -1)


def _refusal(config: Any) -> str | None:
    why = "flash kernels take no mask that says which columns attend both ways; sdpa is right"
    return refuse_flash(config, why) or refuse_decoder(config)


def _unknown(config: Any) -> str | None:
    """Rows of attention are known where each head is normalised by itself, as in Qwen3."""
    if config.get_text_config().qk_norm_type != "qwen3":
        return "nobody has shown how attention is made again, row by row, where OLMo's norm is"
    return unknown_decoder(config)


MOLMO2 = Family(
    name="molmo2",
    model_types=("molmo2",),
    placeholders=(IMAGE, FRAME),
    grids=_grids,
    process=_process,
    numbers_rows=True,
    shown=_shown,
    refusal=_refusal,
    blocks=_blocks,
    vision_tower=vision_tower,
    projector=projector,
    projections=Projections(refusal=_unknown),
    synthetic=_synthetic,
)
