"""Qianfan-OCR: InternVL's tiles and tower, a Qwen3 decoder, no video.

Tokens are InternVL's: up to 12 tiles of a picture and, if they are more than one, a thumbnail
after them, all of them droppable; ``<img>`` and ``</img>`` are text and stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models.chat import refuse_video
from v2drop_cli.models.families.internvl import INTERNVL, process

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    refuse_video(config, media)
    return process(processor, config, media, prompt)


QIANFAN_OCR = dataclasses.replace(
    INTERNVL,
    name="qianfan_ocr",
    model_types=("qianfan_ocr",),
    process=_process,
    media=("image", "images"),
)
