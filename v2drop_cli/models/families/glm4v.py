"""GLM-4.1V: pictures of any size, M-RoPE on half of each head, video (arXiv 2507.01006).

Every ``<|image|>`` is one vision token, 28 x 28 pixels of one image or of two frames; all of
them are droppable. The frames of a video stand for themselves, each between
``<|begin_of_image|>`` and ``<|end_of_image|>`` and before its time in seconds, all of them
between ``<|begin_of_video|>`` and ``<|end_of_video|>``: those are text and stay. As frames and
images share one token, the model takes images or videos in a forward, not both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models import chat
from v2drop_cli.models.base import (
    IMAGE,
    Family,
    Grids,
    Placeholder,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.families.qwen3_vl import check_frames, steps_of
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import (
    WORD,
    Limits,
    Patches,
    clip_patches,
    synthetic_patches,
    tokens_of,
)
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

FRAME = Placeholder("image_token_id", "pixel_values_videos", "video")

# preprocessor_config.json of zai-org/GLM-4.1V-9B-Thinking, and transformers' Glm4vVideoProcessor.
# A picture counts as the two frames of a step, a video as all of its frames.
IMAGE_LIMITS = Limits(112 * 112, 14 * 14 * 2 * 2 * 2 * 6144)
VIDEO_LIMITS = Limits(112 * 112, 28 * 28 * 2 * 30000)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    merge = config.vision_config.spatial_merge_size
    shown: Iterator[tuple[Grid, ...]] = chain(
        grids_of(tensors.get("image_grid_thw"), merge),
        steps_of(tensors.get("video_grid_thw"), merge),
    )
    return tuple(walk(row, {config.image_token_id: shown}) for row in tensors["input_ids"].tolist())


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    refuse_both({item.kind for item in media}, config)
    check_frames(config, media)
    check_ratio(config, media, enlarged=("image", "video"))
    return chat.process(processor, config, media, prompt)


def refuse_both(kinds: Set[str], config: Any) -> None:
    """Refuse images beside videos: one token stands for both."""
    if len(kinds) > 1:
        raise MediaArgumentError(
            f"{config.model_type} models take images or videos in a prompt, not both",
            hint="pass frames of the video as --image",
        )


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within the published limits; the text of a time counts as one token."""
    refuse_both({"image" if item.frames is None else "video" for item in media}, config)
    return synthetic_patches(config, media, _patches, span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    return clip_patches(config, item, IMAGE_LIMITS if item.frames is None else VIDEO_LIMITS)


def span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    """The ids of a picture, or of a clip with a word for each time, delimiters included."""
    frame = frame_span(config, patches)
    if item.frames is None:
        return frame
    steps = [*frame, WORD] * patches[0]
    return [config.video_start_token_id, *steps, config.video_end_token_id]


def frame_span(config: Any, patches: Patches) -> list[int]:
    """An image, or one time step of a video, between its delimiters."""
    tokens = [config.image_token_id] * tokens_of(config, patches)
    return [config.image_start_token_id, *tokens, config.image_end_token_id]


GLM4V = Family(
    name="glm4v",
    model_types=("glm4v",),
    placeholders=(IMAGE, FRAME),
    grids=_grids,
    process=_process,
    synthetic=_synthetic,
)
