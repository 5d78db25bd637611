"""dots3 Note: pictures, clips and sound before a decoder whose layers choose what they look at.

Every image and video pad is one vision token, 28 x 28 pixels of a picture or of a frame; all of
them are droppable. Audio tokens are no vision tokens and stay, as do all delimiters. Positions are
counted along one axis. Half of the layers or fewer attend to what an index chooses, the others have
a sliding window: see ``docs/dropping.md``. The cache holds latents, and the index's own keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Synthetic, SyntheticMedia
from v2drop_cli.models.families.lfm3_vl import patches
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.qwen2_vl import thw_grids
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.synthetic.patches import (
    WORD,
    Patches,
    synthetic_patches,
    tokens_of,
)

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn. Pictures go through Qwen2-VL's processor, clips through Qwen3-VL's.

    Raises:
        MediaArgumentError: pictures longer than the processor takes.
    """
    check_ratio(config, media, enlarged=("video",))
    return chat.process(processor, config, media, prompt)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Within the limits of its processors' classes: no checkpoint's file is known."""
    return synthetic_patches(config, media, patches, _span)


def _span(config: Any, item: SyntheticMedia, cut: Patches) -> Sequence[int]:
    """The configuration names no ids of delimiters: they are words."""
    token = config.image_token_id if item.frames is None else config.video_token_id
    return [WORD, *[token] * (cut[0] * tokens_of(config, cut)), WORD]


DOTS3_NOTE = Family(
    name="dots3_note",
    model_types=("dots3_note",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=_process,
    vision_tower=vision_tower,
    synthetic=_synthetic,
)
