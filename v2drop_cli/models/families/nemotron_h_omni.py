"""Nemotron 3 Nano Omni: pictures of any size before a Nemotron-H decoder.

Every image token is one vision token, 32 x 32 pixels; all of them are droppable. ``<img>`` and
``</img>`` around a picture are text and stay, audio tokens are no vision tokens and stay, too.

The decoder's blocks do one thing each: some fold tokens into a state (Mamba 2), some attend,
without rotary tables, some look at one token at a time. After a drop the states see the shortened
sequence: see ``docs/dropping.md``. Their padding is made zero, which a bias of the projections
would undo: there is none in the published models, and one is refused.

Two frames of a clip are one picture under an image's token, so a prompt has images or videos. Video
needs transformers 5.24: 5.23 joins the features of a clip as if they were several, and fails. A
configuration that has the model prune videos itself, before its decoder, is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
import transformers
from torch import Tensor
from torch.nn import Module

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.decoders import refuse_folding
from v2drop_cli.models.families.glm4v import FRAME, refuse_both
from v2drop_cli.models.families.llava import projector
from v2drop_cli.models.parts import inner_model, language_model
from v2drop_cli.models.projections import Projections
from v2drop_cli.models.releases import release
from v2drop_cli.models.shapes import check_patch_grid
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import FRAMES_PER_S, WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media


_SEES_VIDEO = release(transformers.__version__) >= (5, 24)
# Patches of a picture, of transformers' processor, and of a frame. A third limit, what the context
# holds, is larger for any number of pictures.
_LEAST, _MOST, _OF_A_FRAME = 1024, 13312, 1024


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per image, or per pair of frames, in prompt order."""
    images = _sizes(config, tensors.get("image_grid_hw"))
    shown = chain(images, _pairs(config, tensors.get(FRAME.pixels)))
    waiting = {config.image_token_id: shown}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _sizes(config: Any, patches: Tensor | None) -> Iterator[tuple[Grid, ...]]:
    merge = round(1 / config.downsample_ratio)
    sizes = [] if patches is None else patches.tolist()
    return ((Grid(1, height // merge, width // merge),) for height, width in sizes)


def _pairs(config: Any, frames: Tensor | None) -> Iterator[tuple[Grid, ...]]:
    """Of each pair of ``[clips, pairs, 2 · 3, height, width]``."""
    token = round(1 / config.downsample_ratio) * config.vision_config.patch_size
    clips, pairs, _, height, width = (0,) * 5 if frames is None else frames.shape
    return iter([(Grid(1, height // token, width // token),)] * (clips * pairs))


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Patches of noise; what begins and ends a picture is a word.

    Raises:
        MediaArgumentError: a picture too thin for the processor.
    """
    refuse_both({"image" if item.frames is None else "video" for item in media}, config)
    if not media:
        return Synthetic([], {})
    if media[0].frames is not None:
        return _clips(config, media)
    sides = [_fitted(config, item) for item in media]
    merged = round(1 / config.downsample_ratio) ** 2
    patches, values = sum(map(math.prod, sides)), 3 * config.vision_config.patch_size**2
    tensors = {IMAGE.pixels: noise(patches, values), "image_grid_hw": torch.tensor(sides)}
    tokens = [math.prod(grid) // merged for grid in sides]
    return Synthetic([[WORD, *[config.image_token_id] * n, WORD] for n in tokens], tensors)


def _clips(config: Any, clips: Sequence[SyntheticMedia]) -> Synthetic:
    """Pairs of frames, each behind its times, which are text: their length is an estimate.

    Raises:
        ValueError: clips that are unlike, which the processor cannot put in one batch.
    """
    merge, patch = round(1 / config.downsample_ratio), config.vision_config.patch_size
    step = config.video_temporal_patch_size
    shapes = {(*_of_a_frame(clip, merge), -(-(clip.frames or 0) // step)) for clip in clips}
    if len(shapes) > 1:
        raise ValueError("made-up videos of one prompt need one size and number of frames")
    [(rows, columns, pairs)] = shapes
    ids = []
    for clip in clips:
        span = []
        for pair in range(pairs):
            at = range(pair * step, min((pair + 1) * step, clip.frames or 0))
            span += [WORD] * sum(_words(n) for n in at)
            span += [WORD, *[config.image_token_id] * (rows * columns // merge**2), WORD]
        ids.append(span)
    pixels = noise(len(clips), pairs, step * 3, rows * patch, columns * patch)
    return Synthetic(ids, {FRAME.pixels: pixels})


def _words(frame: int) -> int:
    """Tokens of a frame's time: one for each word, digit and mark."""
    time = f"frame {frame + 1} sampled at {frame / FRAMES_PER_S:.2f} seconds:"
    return len(re.findall(r"[a-z]+|[^a-z ]", time))


def _of_a_frame(clip: SyntheticMedia, merge: int) -> tuple[int, int]:
    """Rows and columns of a frame's patches, by the processor's rule."""
    ratio = clip.width / clip.height
    sides = [max(round(math.sqrt(n)), 1) for n in (_OF_A_FRAME / ratio, _OF_A_FRAME * ratio)]
    up = [-(-side // merge) * merge for side in sides]
    if math.prod(up) <= _OF_A_FRAME:
        return up[0], up[1]
    down = [max(merge, side // merge * merge) for side in sides]
    return down[0], down[1]


def _fitted(config: Any, item: SyntheticMedia) -> tuple[int, int]:
    """Rows and columns of patches, by the processor's rule.

    transformers keeps it in a module that needs torchvision; a test compares the two.
    """
    patch, merge = config.vision_config.patch_size, round(1 / config.downsample_ratio)
    rows, columns = (round(side / patch + 0.5) for side in (item.height, item.width))
    shrunk = min(math.sqrt(_MOST / (rows * columns)), 1.0)
    rows, columns = math.floor(shrunk * rows), math.floor(shrunk * columns)
    if rows * columns == 0:
        raise MediaArgumentError(
            f"{config.model_type} takes no such picture: none of its {_MOST} patches would be "
            f"left along the short side of {item.width} x {item.height} pixels",
            hint="make up one that is less long and thin",
        )
    if rows * columns < _LEAST:
        grown = math.sqrt(_LEAST / (rows * columns))
        rows, columns = math.ceil(grown * rows), math.ceil(grown * columns)
    rows = _whole_tokens(rows, merge, _MOST // columns)
    return rows, _whole_tokens(columns, merge, _MOST // rows)


def _whole_tokens(side: int, merge: int, most: int) -> int:
    """Patches along a side: up to whole tokens, or down where that is more than ``most``."""
    up = -(-side // merge) * merge
    return up if up <= most or up == side else max(merge, up - merge)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: a picture too thin for the processor, images beside videos, or a video
            where transformers does not see it.
    """
    kinds = {item.kind for item in media}
    if not _SEES_VIDEO:
        chat.refuse_video(config, media)
    refuse_both(kinds, config)
    if "video" in kinds:
        return chat.process(processor, config, media, prompt, return_metadata=True)
    check_patch_grid(processor, config, media)
    return chat.process(processor, config, media, prompt)


def _decoder(model: Module) -> Module:
    inner: Module = language_model(model).model  # type: ignore[assignment]
    return inner


def _vision_tower(model: Module) -> Module:
    tower: Module = inner_model(model).vision_model  # type: ignore[assignment]
    return tower


def _refusal(config: Any) -> str | None:
    if config.get_text_config().use_bias:
        return "a bias in its state-space layers would undo the zeros that stand for padding"
    if _SEES_VIDEO and config.video_pruning_rate > 0:
        return "it prunes videos itself, before its decoder, whose columns are then others"
    return refuse_folding(config)


NEMOTRON_H_OMNI = Family(
    name="nemotron_h_omni",
    model_types=("nemotron_h_omni",),
    placeholders=(IMAGE, FRAME) if _SEES_VIDEO else (IMAGE,),
    grids=_grids,
    process=_process,
    decoder=_decoder,
    refusal=_refusal,
    vision_tower=_vision_tower,
    projector=projector,
    media=("image", "images", "video") if _SEES_VIDEO else ("image", "images"),
    synthetic=_synthetic,
    projections=Projections(
        norm=lambda layer: layer.norm,
        attention=lambda layer: layer.mixer,
        rotate=lambda attention, states, rope: states,
        refusal=lambda config: None,
    ),
)
