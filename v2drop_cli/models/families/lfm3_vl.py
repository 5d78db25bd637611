"""LFM3-VL: convolutions, sliding windows and full attention in one decoder.

Every image and video pad is one vision token, 32 x 32 pixels of an image or of two frames; all are
droppable. A video is one span a time step, after its time and between ``<|vision_start|>`` and
``<|vision_end|>``, which are text and stay. Positions have one axis.

Of four layers two are convolutions over the last seven tokens, survivors after a drop; one has a
sliding window, counted in the prompt's positions; one sees all. See ``docs/dropping.md``. A bias in
a convolution would leave a trace of padding: there is none by default, and one is refused.
"""

from __future__ import annotations

from v2drop_cli.models.base import IMAGE, VIDEO, Family
from v2drop_cli.models.families.lfm2_vl import refuse_biased_convolutions
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.families.qwen3_vl import process, thw_grids
from v2drop_cli.models.projections import Projections

LFM3_VL = Family(
    name="lfm3_vl",
    model_types=("lfm3_vl",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=process,
    vision_tower=vision_tower,
    projector=projector,
    # Its norm has a name of its own.
    projections=Projections(norm=lambda layer: layer.operator_norm, refusal=lambda config: None),
    refusal=refuse_biased_convolutions,
)
