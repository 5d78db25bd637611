"""Gemma 3: SigLIP pictures that attend both ways, in layers with a window (arXiv 2503.19786).

A picture is 256 tokens ``<image_soft_token>``, each pooled from 4 x 4 patches, and all of them are
droppable; ``<start_of_image>``, ``<end_of_image>`` and the line breaks around them are text and
stay. Pictures go in whole: "pan and scan", which adds crops of them, is left off.

The tokens of one picture see each other in both directions. Five of six layers see the last 1024
columns only, and in those a window also cuts a picture: a token sees what of its own picture is
inside. Flash kernels are refused: they take no mask, so transformers cannot tell them what attends
both ways. The model takes no video.

ShieldGemma 2 (arXiv 2504.01081) is a Gemma 3 that says whether one picture violates a policy: its
processor writes the prompt around the policy, which is what is asked, and the answer's first token
is Yes or No.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, MediaArgumentError
from v2drop_cli.models.arguments import CACHE
from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import (
    check_prompt,
    media_arguments,
    process_images,
    refuse_video,
)
from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.picture_limits import check_media
from v2drop_cli.models.synthetic.patches import WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.models.user_text import as_text, control_tokens
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_SHIELD = "shieldgemma2"
TYPES = "token_type_ids"  # 1 for a picture's tokens


def _side(config: Any) -> int:
    return isqrt(config.mm_tokens_per_image)


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One square grid a picture."""
    side = _side(config)
    counts = (tensors["input_ids"] == config.image_token_id).sum(dim=1).tolist()
    return tuple((Grid(1, side, side),) * (count // side**2) for count in counts)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    if config.model_type == _SHIELD:
        return _policy(processor, config, media, prompt)
    return process_images(processor, config, media, prompt, do_pan_and_scan=False)


def _policy(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    refuse_video(config, media)
    if len(media) > 1:
        raise MediaArgumentError(f"{_SHIELD} models judge one image", hint="give one --image")
    check_media(processor, media)
    check_prompt(processor, prompt)
    asked = {"policies": ["asked"], "return_tensors": "pt", **media_arguments(media)}

    def call(processor: Any, words: str) -> dict[str, Tensor]:
        return dict(processor(custom_policies={"asked": words}, **asked))

    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is not None and control_tokens(tokenizer, prompt):
        return as_text(processor, prompt, call)
    return call(processor, prompt)


def _blocks(config: Any, arguments: Mapping[str, Any]) -> Tensor | None:
    """One block a picture. The model reads the types from the start of the whole sequence."""
    types, cache = arguments.get(TYPES), arguments.get(CACHE)
    if types is None:
        return None
    past = 0 if cache is None else int(cache.get_seq_length())
    end = past + arguments["input_ids"].shape[1]
    if past and IMAGE.filled(arguments) and types.shape[1] < end:
        raise InstrumentError(
            f"the {TYPES} of this picture do not begin where the cache's sequence does, and so "
            "they do not say what attends both ways",
            hint=f"pass the {TYPES} of the whole conversation, as generate does",
        )
    shown = types == 1
    begins = shown & ~torch.nn.functional.pad(shown, (1, 0))[:, :-1]
    blocks = torch.where(shown, begins.cumsum(dim=1) - 1, -1)
    return torch.nn.functional.pad(blocks, (0, max(0, end - blocks.shape[1])), value=-1)[
        :, past:end
    ]


def _refusal(config: Any) -> str | None:
    why = "flash kernels take no mask that says which columns attend both ways; sdpa is right"
    return refuse_flash(config, why) or refuse_decoder(config)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    size = config.vision_config.image_size
    picture = [config.image_token_id] * config.mm_tokens_per_image
    ids = [WORD, config.boi_token_id, *picture, config.eoi_token_id, WORD]
    pixels = {"pixel_values": noise(len(media), 3, size, size)} if media else {}
    return Synthetic([ids] * len(media), pixels)


GEMMA3 = Family(
    name="gemma3",
    model_types=("gemma3", _SHIELD),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    types_name=TYPES,
    refusal=_refusal,
    blocks=_blocks,
    vision_tower=vision_tower,
    projector=projector,
    media=("image", "images"),
    synthetic=_synthetic,
)
