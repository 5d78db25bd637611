"""dots3 Note: pictures, clips and sound before a decoder whose layers choose what they look at.

Every image and video pad is one vision token, 28 x 28 pixels of a picture or of a frame; all of
them are droppable. Audio tokens are no vision tokens and stay, as do all delimiters. Positions are
counted along one axis. Half of the layers or fewer attend to what an index chooses, the others have
a sliding window: see ``docs/dropping.md``. The cache holds latents, and the index's own keys.
"""

from __future__ import annotations

from v2drop_cli.models.base import IMAGE, VIDEO, Family
from v2drop_cli.models.families.llava import vision_tower
from v2drop_cli.models.families.qwen2_vl import process, thw_grids

DOTS3_NOTE = Family(
    name="dots3_note",
    model_types=("dots3_note",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    vision_tower=vision_tower,
)
