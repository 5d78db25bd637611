"""Cosmos3 Edge: a SigLIP 2 tower for pictures of any size, interleaved M-RoPE, frames one by one.

Every ``<|image_pad|>`` and ``<|video_pad|>`` is one vision token, 32 x 32 pixels of one image or of
one frame; all of them are droppable. Each frame of a video is a span of its own, after its time in
seconds and between ``<|vision_start|>`` and ``<|vision_end|>``, which are text and stay.

Only what reads pictures is served: the checkpoints' other half, which makes videos, is not loaded
by transformers either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from v2drop_cli.models import chat
from v2drop_cli.models.base import IMAGE, VIDEO, Family, Synthetic, SyntheticMedia
from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.qwen3_vl import IMAGE_LIMITS, VIDEO_LIMITS, thw_grids
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.releases import release
from v2drop_cli.models.shapes import check_ratio
from v2drop_cli.models.synthetic.patches import (
    FRAMES_PER_S,
    WORD,
    Patches,
    clip_patches,
    synthetic_patches,
    tokens_of,
)

if TYPE_CHECKING:
    from v2drop_cli.media import Media


_RIGHT_FROM = (5, 23)
_ASKED: dict[str, Any] = {"return_mm_token_type_ids": True, "return_metadata": True}


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    The processor of transformers 5.17 to 5.24 gives neither the types that M-RoPE needs nor a
    video's times unless it is asked.
    """
    check_ratio(config, media, enlarged=("image", "video"))
    return chat.process(processor, config, media, prompt, **_ASKED)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Made-up media within the limits of transformers' own processors, which are Qwen3-VL's.

    Times are text, so their length is an estimate: a token a digit, frames half a second apart.
    """
    return synthetic_patches(config, media, _patches, _span)


def _patches(config: Any, item: SyntheticMedia) -> Patches:
    return clip_patches(config, item, IMAGE_LIMITS if item.frames is None else VIDEO_LIMITS)


def _span(config: Any, item: SyntheticMedia, patches: Patches) -> Sequence[int]:
    start, end = [config.vision_start_token_id], [config.vision_end_token_id]
    n = tokens_of(config, patches)
    if item.frames is None:
        return start + [config.image_token_id] * n + end
    ids: list[int] = []
    for frame in range(patches[0]):
        # "<0.5 seconds>": a token each for "<", every digit, the point, " seconds" and ">".
        time = [WORD] * (len(f"{frame / FRAMES_PER_S:.1f}") + 3)
        ids += time + start + [config.video_token_id] * n + end
    return ids


def _refusal(config: Any) -> str | None:
    """Older releases hand layers the time axis for positions: flash kernels read it as packing."""
    import transformers

    why = f"transformers {transformers.__version__} tells flash kernels wrong positions for it; "
    why += "5.23 does not, and sdpa is right"
    old = release(transformers.__version__) < _RIGHT_FROM
    return (refuse_flash(config, why) if old else None) or refuse_decoder(config)


COSMOS3_EDGE = Family(
    name="cosmos3_edge",
    model_types=("cosmos3_edge",),
    placeholders=(IMAGE, VIDEO),
    grids=thw_grids,
    process=_process,
    refusal=_refusal,
    vision_tower=lambda model: getattr(inner_model(model), "visual", None),
    projector=lambda model: getattr(inner_model(model), "projector", None),
    synthetic=_synthetic,
)
