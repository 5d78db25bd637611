"""HunyuanVL and HunyuanOCR: pictures of any size, four axes of positions (arXiv 2511.19575).

A picture is a begin token, rows of tokens (32 x 32 pixels each) with a newline token after each,
and an end token. All of them carry the placeholder's id and all are droppable: the learned
separators compete like any other token of the span, and counts include them. The delimiters around
a picture have ids of their own and stay.

Positions have an axis that numbers the pictures. transformers (5.17 to 5.24) numbers them on
through a whole batch, so a picture in a later row is not where it would be if its row were alone:
dropping keeps the positions that the model gives. The model takes no video.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.spans import NEWLINE, walk, with_newlines
from v2drop_cli.models.synthetic.patches import Limits, Patches, frame_patches, synthetic_patches
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_LIMITS = Limits(512 * 512, 2048 * 2048)  # of transformers' HunYuanVLImageProcessor


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    check_ratio(config, media, enlarged=())
    return process_images(processor, config, media, prompt)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    waiting = {config.image_token_id: _pictures(config, tensors)}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _pictures(config: Any, tensors: Mapping[str, Tensor]) -> Iterator[tuple[Grid, ...]]:
    merge = config.vision_config.spatial_merge_size
    grids = tensors["image_grid_thw"].tolist() if "image_grid_thw" in tensors else []
    return ((NEWLINE, with_newlines(h // merge, w // merge), NEWLINE) for _, h, w in grids)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    return frame_patches(config, item, _LIMITS)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    merge = config.vision_config.spatial_merge_size
    rows, columns = patches[1] // merge, patches[2] // merge
    tokens = [config.image_token_id] * (rows * (columns + 1) + 2)
    return [config.im_start_id, *tokens, config.im_end_id]


HUNYUAN_VL = Family(
    name="hunyuan_vl",
    model_types=("hunyuan_vl",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    vision_tower=vision_tower,
    media=("image", "images"),
    numbers_rows=True,
    synthetic=_synthetic,
)
