"""EXAONE 4.5: Qwen2.5-VL's pictures and videos, positions of one axis, sliding windows.

Every image and video pad is one vision token, 28 x 28 pixels of one image or of two frames; all of
them are droppable. What begins and ends a picture is text and stays. The decoder counts positions
one after the other, pictures too. Three layers of four have a window and rotary tables; each
fourth has neither.
"""

from __future__ import annotations

from v2drop_cli.models.base import IMAGE, VIDEO, Family
from v2drop_cli.models.families.qwen2_vl import process, thw_grids

EXAONE4_5 = Family(
    name="exaone4_5",
    model_types=("exaone4_5",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
)
