"""GLM-5-Next (GLM-5.3 Flash): GLM-4.1V's tokens; linear attention among layers with an index.

Every ``<|image|>`` is one vision token, also those of frames, 28 x 28 pixels of one image or of two
frames; all of them are droppable. Delimiters and the times of frames are text and stay. Images and
videos share one token, and the model tells them by the delimiters of videos, so a prompt may have
both. The processor fills a picture up with black on the right and below, by less than a token, and
grids count the last column and row as whole.

No layer has positions. The index pools neighbouring columns and chooses the best pools: after a
drop it pools survivors, see ``docs/dropping.md``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models import chat
from v2drop_cli.models.base import Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.decoders import refuse_folding, takes_choices
from v2drop_cli.models.families.glm4v import GLM4V, span
from v2drop_cli.models.families.qwen2_vl import grids_of
from v2drop_cli.models.families.qwen3_vl import check_frames, steps_of, too_few_frames
from v2drop_cli.models.shown import Box, placed, rule_for
from v2drop_cli.models.spans import walk
from v2drop_cli.models.synthetic.patches import (
    Limits,
    Patches,
    frame_patches,
    frames_a_step,
    synthetic_patches,
)
from v2drop_cli.records import Grid, MediaRecord

if TYPE_CHECKING:
    from v2drop_cli.media import Media


# Of transformers' processors, in tokens: a picture counts as the two frames of a step, a video as
# all of its frames.
_OF_IMAGE, _OF_VIDEO = Limits(16, 8000), Limits(16, 240_000)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    merge = config.vision_config.spatial_merge_size
    waiting = {
        config.image_token_id: grids_of(tensors.get("image_grid_thw"), merge),
        config.video_token_id: steps_of(tensors.get("video_grid_thw"), merge),
    }
    ids = tensors["input_ids"]
    opened = (ids == config.video_start_token_id).cumsum(dim=1)
    closed = (ids == config.video_end_token_id).cumsum(dim=1)
    frames = (ids == config.image_token_id) & (opened > closed)
    rows = ids.masked_fill(frames, config.video_token_id).tolist()
    return tuple(walk(row, waiting) for row in rows)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_frames(config, media)
    return chat.process(processor, config, media, prompt)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media; the text of a time counts as one token.

    Raises:
        MediaArgumentError: a video of fewer frames than a time step has.
    """
    return synthetic_patches(config, media, _patches, span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    from transformers.models.glm5_next.image_processing_pil_glm5_next import smart_resize

    step, limits = frames_a_step(config), _OF_IMAGE if item.frames is None else _OF_VIDEO
    if item.frames is not None and item.frames < step:
        raise too_few_frames(config, step)
    resize = functools.partial(smart_resize, num_frames=item.frames or step, temporal_factor=step)
    return frame_patches(config, item, limits, resize=resize)


def _shown(
    processor: Any, config: Any, record: MediaRecord, grids: Sequence[Grid]
) -> Sequence[Box | None]:
    """Shrunk if it must be, or enlarged to the least size, and filled up with black."""
    rule = rule_for(processor, record.kind)
    unit = rule.patch_size * rule.merge_size * rule.patch_expand_factor
    frames = rule.temporal_patch_size if record.kind == "image" else record.frames
    least = rule.temporal_patch_size * unit**2 * rule.min_image_tokens
    width, height, found = record.width, record.height, []
    for grid in grids:
        canvas = grid.w * unit, grid.h * unit
        scale = min(canvas[0] / width, canvas[1] / height)
        if frames * height * width >= least:
            scale = min(1.0, scale)
        size = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
        found.append(placed((0, 0), size, canvas))
    return found


def _refusal(config: Any) -> str | None:
    text = config.get_text_config()
    if takes_choices(text):
        return "some of its layers take the choice of an earlier one, which counts other columns"
    if not text.index_kpool_always_select_tail:
        return "its first tokens attend to nothing, and so to whatever the kernel makes of that"
    return refuse_folding(config)


GLM5_NEXT = dataclasses.replace(
    GLM4V,
    name="glm5_next",
    model_types=("glm5_next",),
    grids=_grids,
    process=_process,
    shown=_shown,
    refusal=_refusal,
    synthetic=_synthetic,
)
