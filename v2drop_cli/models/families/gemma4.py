"""Gemma 4: pictures of any shape, frames between times, sliding windows, inputs for every layer.

Every ``<|image|>`` and ``<|video|>`` is droppable: 48 x 48 pixels of a picture or a frame. The
markers around them, and the times before frames, are text and stay, as does audio. A picture may
have any shape, within a number of tokens.

Layers with a sliding window count it in the prompt's own positions. In the large models a picture's
tokens attend to each other in both directions, in those layers only. Small ones hand each layer an
input of its own for each token, which goes with the token. The last layers of the smallest (E2B,
E4B) have no keys of their own, but attend to those of an earlier layer: drops come no later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process
from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

# processor_config.json of google/gemma-4-*-it: tokens of a picture, and of a frame, at most.
_PICTURE, _FRAME = 280, 70


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {
        config.image_token_id: _shapes(config, tensors.get("image_position_ids")),
        config.video_token_id: _shapes(config, tensors.get("video_position_ids")),
    }
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _shapes(config: Any, places: Tensor | None) -> Iterator[tuple[Grid, ...]]:
    """One grid a picture or frame, from where its patches are; -1 is padding."""
    pooled = _pooled(config)
    for picture in () if places is None else places:
        width, height = (int(n) // pooled for n in picture.max(dim=0).values + 1)
        yield (Grid(1, height, width),)


def _pooled(config: Any) -> int:
    """How many patches become one token, each way; gemma4_unified's processor does it before."""
    unified = config.model_type == "gemma4_unified"
    return 1 if unified else int(config.vision_config.pooling_kernel_size)


def _refusal(config: Any) -> str | None:
    text = config.get_text_config()
    why = "flash kernels take no mask that says which columns attend both ways; sdpa is right"
    two_way = getattr(text, "use_bidirectional_attention", None) == "vision"
    flash = refuse_flash(config, why) if two_way else None
    return flash or refuse_decoder(config, two_way=True)


def _blocks(config: Any, arguments: Mapping[str, Any]) -> Tensor | None:
    """Pictures and frames, where they attend in both directions."""
    text = config.get_text_config()
    types = arguments.get("mm_token_type_ids")
    if getattr(text, "use_bidirectional_attention", None) != "vision" or types is None:
        return None
    seen = (types == 1) | (types == 2)
    before = torch.nn.functional.pad(seen, (1, 0))[:, :-1]
    blocks = torch.where(seen, (seen & ~before).cumsum(dim=1) - 1, -1)
    return blocks[:, -arguments["input_ids"].shape[1] :]


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within the published limits; the time before a frame counts as five tokens."""
    ids: list[list[int]] = []
    tensors: dict[str, list[Tensor]] = {}
    frames: list[int] = []
    for item in media:
        video = item.frames is not None
        height, width, most = _fitted(config, item)
        places = _places(config, height, width, most)
        kind = "video" if video else "image"
        tensors.setdefault(kind, []).extend([places] * (item.frames or 1))
        token = config.video_token_id if video else config.image_token_id
        shown = [config.boi_token_id, *[token] * (height * width), config.eoi_token_id]
        ids.append([*[WORD] * 5, *shown] * item.frames if item.frames else shown)
        frames += [item.frames] if item.frames else []
    made: dict[str, Tensor] = {}
    for kind, name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        if kind in tensors:
            made[f"{kind}_position_ids"] = torch.stack(tensors[kind])
            count, patches = made[f"{kind}_position_ids"].shape[:2]
            made[name] = noise(count, patches, 3 * _patch(config) ** 2)
    if frames:
        made["num_frames_per_video"] = torch.tensor(frames)
    return Synthetic(ids, made)


def _patch(config: Any) -> int:
    """Pixels of what the model is given as one patch, each way."""
    vision = config.vision_config
    return int(vision.patch_size * vision.pooling_kernel_size // _pooled(config))


def _fitted(config: Any, item: SyntheticMedia) -> tuple[int, int, int]:
    """Rows and columns of tokens of a picture or frame, and how many there may be."""
    from transformers.models.gemma4.processing_gemma4 import get_aspect_ratio_preserving_size

    vision, most = config.vision_config, _PICTURE if item.frames is None else _FRAME
    pooled = vision.pooling_kernel_size
    height, width = get_aspect_ratio_preserving_size(
        item.height, item.width, vision.patch_size, most * pooled**2, pooled
    )
    side = vision.patch_size * pooled
    return height // side, width // side, most


def _places(config: Any, height: int, width: int, most: int) -> Tensor:
    """``[patches, 2]``: column and row of each patch, filled up with -1."""
    pooled = _pooled(config)
    rows, columns = torch.arange(height * pooled), torch.arange(width * pooled)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], dim=-1)
    return torch.nn.functional.pad(places, (0, 0, 0, most * pooled**2 - len(places)), value=-1)


GEMMA4 = Family(
    name="gemma4",
    model_types=("gemma4",),
    placeholders=(IMAGE, VIDEO),
    grids=_grids,
    process=process,
    refusal=_refusal,
    blocks=_blocks,
    blocks_in_windows=True,
    vision_tower=vision_tower,
    synthetic=_synthetic,
)
