"""Qwen2.5-Omni's thinker: audio beside vision, M-RoPE, images and video (arXiv 2503.20215).

The thinker reads and writes text; talker and vocoder come after it. Every ``<|IMAGE|>`` and
``<|VIDEO|>`` is droppable. Audio tokens are no vision tokens: they stay, also those that lie
between the frames of a video with sound, as do all delimiters. A survivor keeps its own place on
the three axes. What the command line shows is pictures, and clips without their sound; prompts
with audio come through the library.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module

from v2drop_cli.models.base import IMAGE, VIDEO, Family, Synthetic, SyntheticMedia
from v2drop_cli.models.families import qwen2_vl
from v2drop_cli.models.families.qwen3_vl import check_frames
from v2drop_cli.models.synthetic.patches import (
    FRAMES_PER_S,
    Limits,
    Patches,
    frame_patches,
    synthetic_patches,
    tokens_of,
)

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# What transformers' processors of these models tell their video processors, of pixels that become
# one token: 28 x 28 in Qwen2.5-Omni, 32 x 32 in Qwen3-Omni.
_TOKENS_A_FRAME = Limits(128, 768)


def _thinker(model: Module) -> Module:
    """The module whose forward takes ids and pixels; the thinker itself in older releases."""
    for module in model.modules():
        if "audio_tower" in module._modules and "visual" in module._modules:
            return module
    return model


def _decoder(model: Module) -> Module:
    thinker: Any = _thinker(model)
    decoder: Module = (
        thinker.language_model if "language_model" in thinker._modules else thinker.model
    )
    return decoder


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn; the processor would take every video for one of 2 (or 1) frames a second."""
    check_frames(config, media)
    tensors = dict(qwen2_vl.process(processor, config, media, prompt))
    videos = [item for item in media if item.kind == "video"]
    if videos:
        step = config.vision_config.temporal_patch_size
        seconds = [step * _frame_s(video) for video in videos]
        tensors["video_second_per_grid"] = torch.tensor(seconds)
    return tensors


def _frame_s(video: Media) -> float:
    """Seconds from a frame to the next, which are evenly spread."""
    times = video.frame_times_s or ()
    return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 1 / FRAMES_PER_S


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    plain = synthetic_patches(config, media, _patches, _span)
    videos = sum(item.frames is not None for item in media)
    if not videos:
        return plain
    step_s = config.vision_config.temporal_patch_size / FRAMES_PER_S
    seconds = {"video_second_per_grid": torch.tensor([step_s] * videos)}
    return dataclasses.replace(plain, tensors={**plain.tensors, **seconds})


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    if item.frames is None:
        return frame_patches(config, item, qwen2_vl.PUBLISHED)
    pixels = (config.vision_config.patch_size * config.vision_config.spatial_merge_size) ** 2
    least, most = _TOKENS_A_FRAME.least * pixels, _TOKENS_A_FRAME.most * pixels
    return frame_patches(config, item, Limits(least, most))


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    token = config.image_token_id if item.frames is None else config.video_token_id
    tokens = [token] * (patches[0] * tokens_of(config, patches))
    return [config.vision_start_token_id, *tokens, config.vision_end_token_id]


QWEN2_5_OMNI = Family(
    name="qwen2_5_omni",
    model_types=("qwen2_5_omni_thinker",),
    placeholders=(IMAGE, VIDEO),
    grids=qwen2_vl.thw_grids,
    process=_process,
    multimodal=_thinker,
    decoder=_decoder,
    counts_by_mask=True,
    synthetic=_synthetic,
)
