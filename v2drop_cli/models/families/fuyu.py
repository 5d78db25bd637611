"""Fuyu: no vision tower; patches of a picture go through one linear map, into a Persimmon decoder.

Every ``|SPEAKER|`` is one vision token, 30 x 30 pixels of the picture, and all of them are
droppable. The ``|NEWLINE|`` after each row of them is a token of the vocabulary: it is text and
stays. The processor takes one picture.

A published prompt is a short command (``Generate a coco-style caption.``) and ends with a newline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.models.arguments import parameters_of
from v2drop_cli.models.base import IMAGE, Family, Grids, Synthetic, SyntheticMedia
from v2drop_cli.models.chat import process_images, refuse_video
from v2drop_cli.models.decoders import refuse_decoder
from v2drop_cli.models.parts import inner_model
from v2drop_cli.models.projections import Projections, Rope, rotate
from v2drop_cli.models.shown import whole
from v2drop_cli.models.synthetic.patches import WORD
from v2drop_cli.models.synthetic.tiles import noise
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# preprocessor_config.json of adept/fuyu-8b: 1080 x 1920 pixels are so many rows and columns of
# patches at most.
_MOST = 36, 64
_SHOWN = "shown"  # [n, 2]: height and width of each picture as it is cut into patches
_PROMPT = (
    "{% for message in messages %}{% for item in message['content'] %}"
    "{{ item['text'] + '\n' if item['type'] == 'text' else '|SPEAKER|' }}{% endfor %}{% endfor %}"
)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One picture and a prompt.

    Raises:
        MediaArgumentError: more than one picture, one too thin for the processor, or a video.
    """
    if len(media) > 1:
        raise MediaArgumentError(
            f"{config.model_type} models take one picture in a prompt",
            hint="ask about one after the other, or paste them side by side",
        )
    refuse_video(config, media)
    fitted = [_fitted(processor, item) for item in media]
    # It writes a place before each prompt that has a picture: an empty list says that none has.
    told = {"images": [[], [item.frames[0] for item in media]], "return_legacy_image_output": False}
    tensors = process_images(processor, config, media, prompt, _PROMPT, **told)
    return tensors | {_SHOWN: torch.tensor(fitted)}


def _fitted(processor: Any, item: Media) -> tuple[int, int]:
    """Height and width of a picture in the processor's frame: shrunk into it, never enlarged.

    Raises:
        MediaArgumentError: its short side would have no pixel left.
    """
    frame = processor.image_processor.size
    width, height = item.frames[0].size
    return _shrunk(item.path.name, (height, width), (frame["height"], frame["width"]))


def _shrunk(name: str, size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """The same of a size: the picture's and the frame's are height and width."""
    height, width = size
    scale = min(frame[0] / height, frame[1] / width, 1.0)
    if int(min(size) * scale) == 0:
        raise MediaArgumentError(
            f"{name} is {width} x {height} pixels, and its short side would have no pixel left "
            f"within {frame[1]} x {frame[0]}",
            hint=f"crop it, or widen its short side to {math.ceil(1 / scale)} pixels and more",
        )
    return int(height * scale), int(width * scale)


def _synthetic(config: Any, media: Sequence[SyntheticMedia]) -> Synthetic:
    """Rows of patches; a newline is a word, for the configuration does not name it."""
    side, ids, patches = config.patch_size, [], 0
    for item in media:
        frame = _MOST[0] * side, _MOST[1] * side
        height, width = _shrunk("a made-up picture", (item.height, item.width), frame)
        rows, columns = math.ceil(height / side), math.ceil(width / side)
        # The token that begins the text comes behind the picture.
        ids.append([*[*[config.image_token_id] * columns, WORD] * rows, WORD])
        patches += rows * columns
    return Synthetic(ids, {IMAGE.pixels: noise(patches, 3 * side**2)} if media else {})


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per picture: rows of patches, with one token after each; the last may stick out."""
    shown = iter(tensors[_SHOWN].tolist() if _SHOWN in tensors else [])
    return tuple(_row(config, ids, shown) for ids in tensors["input_ids"].tolist())


def _row(config: Any, ids: list[int], shown: Any) -> tuple[Grid, ...]:
    pictures: list[list[int]] = []  # of each, the lengths of its rows
    column = end = 0
    for is_patch, run in groupby(ids, lambda i: i == config.image_token_id):
        length = len(list(run))
        if is_patch:
            pictures += [] if pictures and column == end + 1 else [[]]
            pictures[-1].append(length)
            end = column + length
        column += length
    side, found = config.patch_size, []
    for rows in pictures:
        height, width = next(shown, (len(rows) * side, rows[0] * side))
        box = (0.0, 0.0, rows[0] * side / width, len(rows) * side / height)
        found.append(Grid(1, len(rows), rows[0], box))
    return tuple(found)


def _part(attention: Any, states: Tensor, part: int) -> Tensor:
    """``[H, m, d]``: one map makes a head's query, key and value, side by side."""
    made = attention.query_key_value(states).unflatten(-1, (-1, 3, attention.head_dim))
    headed: Tensor = made[:, :, part].transpose(0, 1)
    norms = (attention.q_layernorm, attention.k_layernorm) if attention.qk_layernorm else ()
    return norms[part](headed) if norms else headed


def _rotate(attention: Any, states: Tensor, rope: Rope) -> Tensor:
    """Turn the first numbers of each head."""
    turned, kept = states[..., : attention.rotary_ndims], states[..., attention.rotary_ndims :]
    return torch.cat([rotate(attention, turned, rope), kept], dim=-1)


def _projector(model: Module) -> Module:
    part: Module = inner_model(model).vision_embed_tokens  # type: ignore[assignment]
    return part


def _refusal(config: Any) -> str | None:
    from transformers import FuyuForCausalLM

    if "pixel_values" not in parameters_of(FuyuForCausalLM.forward):
        return "this transformers calls its pixels something else; 5.23 is tested"
    return refuse_decoder(config)


FUYU = Family(
    name="fuyu",
    model_types=("fuyu",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    shown=whole,  # what is padded is in the grid
    grid_tensors=(_SHOWN,),
    projector=_projector,
    refusal=_refusal,
    projections=Projections(
        queries=lambda attention, states: _part(attention, states, 0),
        keys=lambda attention, states: _part(attention, states, 1),
        rotate=_rotate,
        refusal=lambda config: None,
    ),
    media=("image",),
    synthetic=_synthetic,
)
