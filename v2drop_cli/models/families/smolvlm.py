"""SmolVLM and SmolVLM2: Idefics3's tiles, and video (arXiv 2504.05299).

A frame of a video is one whole picture after its time in words; only the ``<image>`` tokens
are droppable. The processor puts pixels of images and of frames under one name, so a prompt
shows images or videos, not both. It also needs the package num2words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.base import IMAGE, Family
from v2drop_cli.models.chat import ask, media_arguments
from v2drop_cli.models.families.idefics3 import (
    ENCODED,
    decoder,
    multimodal,
    projector,
    synthetic,
    tile_grids,
    vision_tower,
)
from v2drop_cli.models.shown import whole
from v2drop_cli.models.templates import Turn

if TYPE_CHECKING:
    from torch import Tensor

    from v2drop_cli.media import Media


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: images and videos in one prompt.
    """
    kinds = {item.kind for item in media}
    if len(kinds) > 1:
        raise MediaArgumentError(
            f"a {config.model_type} prompt shows images or videos, not both",
            hint="pass frames of the video as --image, or ask twice",
        )
    arguments = media_arguments(media)
    if "videos" in arguments:  # nested, as images: 5.17 counts the videos of each prompt
        arguments["videos"] = [arguments["videos"]]
    template = _video_template() if "video" in kinds else None
    turn = Turn([item.kind for item in media], prompt, template=template)
    return ask(processor, turn, arguments)


def _video_template() -> str:
    """Templates published with the checkpoints leave videos out; transformers has a newer one."""
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    template: str = DEFAULT_CHAT_TEMPLATE
    return template


SMOLVLM = Family(
    name="smolvlm",
    model_types=("smolvlm",),
    placeholders=(IMAGE, ENCODED),
    grids=tile_grids,
    process=_process,
    shown=whole,
    multimodal=multimodal,
    decoder=decoder,
    vision_tower=vision_tower,
    projector=projector,
    synthetic=synthetic,
)
