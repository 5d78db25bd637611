"""PaliGemma: SigLIP patches, then a prompt; all of it attends both ways (arXiv 2407.07726).

Every ``<image>`` is one vision token and all of them are droppable. Pictures and prompt are a
prefix whose columns attend to each other in both directions; what is generated is causal. A
shortened layer keeps this: the surviving columns of the prefix stay one block. In PaliGemma 2 every
other layer has a sliding window (of 4096 columns), which cuts answers, and nothing of the prefix
inside itself. Flash kernels are refused: transformers (5.17 to 5.24) lets them attend both ways in
answers too. The model takes no video.

Its prompts are short commands (``caption en``, ``answer en what is it?``), not turns of a chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError
from v2drop_cli.models.arguments import CACHE
from v2drop_cli.models.base import (
    IMAGE,
    Family,
    Synthetic,
    SyntheticMedia,
)
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.decoders import refuse_decoder, refuse_flash
from v2drop_cli.models.families.llava import projector, vision_tower
from v2drop_cli.models.projections import SQUARE
from v2drop_cli.models.spans import square_grids, square_side
from v2drop_cli.models.synthetic.tiles import noise

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_PROMPT = (
    "{% for message in messages %}{% for item in message['content'] %}"
    "{{ '<image>' if item['type'] == 'image' else item['text'] }}{% endfor %}{% endfor %}"
)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    tensors = dict(process_images(processor, config, media, prompt, fallback=_PROMPT))
    tensors.pop("labels", None)  # for fine-tuning; with them a loss would be computed
    return tensors


def _blocks(config: Any, arguments: Mapping[str, Any]) -> Tensor | None:
    """One block for the prefix, when the model itself makes one: at a cache's first forward."""
    types, cache = arguments.get("token_type_ids"), arguments.get(CACHE)
    first = cache is None or not cache.is_initialized
    shown = IMAGE.filled(arguments)
    if types is None and shown:
        raise InstrumentError(
            "this prompt has pixels but no token_type_ids, which say what attends both ways",
            hint="pass all that the model's processor returns",
        )
    if types is None or not (first or shown):
        return None
    if not first and cache is not None and cache.get_seq_length():  # an emptied one has none
        raise InstrumentError(
            "this model's prompt attends in both directions, and its cache is not empty",
            hint="give each prompt with a picture a cache of its own",
        )
    return torch.where(types == 0, 0, -1)


def _refusal(config: Any) -> str | None:
    why = "transformers does not tell flash kernels where its prompt ends; sdpa is right"
    return refuse_flash(config, why) or refuse_decoder(config, two_way=True)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    size = config.vision_config.image_size
    ids = [[config.image_token_id] * square_side(config) ** 2 for _ in media]
    return Synthetic(ids, {"pixel_values": noise(len(media), 3, size, size)} if media else {})


PALIGEMMA = Family(
    name="paligemma",
    model_types=("paligemma",),
    placeholders=(IMAGE,),
    grids=square_grids,
    process=_process,
    refusal=_refusal,
    blocks=_blocks,
    windows_cut_blocks=False,
    first_position=1,
    vision_tower=vision_tower,
    projector=projector,
    tower=SQUARE,
    media=("image", "images"),
    synthetic=_synthetic,
)
