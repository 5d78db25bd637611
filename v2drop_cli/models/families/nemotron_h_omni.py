"""Nemotron 3 Nano Omni: pictures of any size before a Nemotron-H decoder.

Every image token is one vision token, 32 x 32 pixels; all of them are droppable. ``<img>`` and
``</img>`` around a picture are text and stay, audio tokens are no vision tokens and stay, too.

The decoder's blocks do one thing each: some fold tokens into a state (Mamba 2), some attend,
without rotary tables, some look at one token at a time. After a drop the states see the shortened
sequence: see ``docs/dropping.md``. Their padding is made zero, which a bias of the projections
would undo: there is none in the published models, and one is refused.

The model takes video, too. transformers 5.23 joins the features of a clip as if they were several,
and fails, so only pictures are served.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import Module

from v2drop_cli.models.base import IMAGE, Family, Grids
from v2drop_cli.models.chat import process_images
from v2drop_cli.models.decoders import refuse_folding
from v2drop_cli.models.families.llava import projector
from v2drop_cli.models.parts import inner_model, language_model
from v2drop_cli.models.projections import Projections
from v2drop_cli.models.shapes import check_patch_grid
from v2drop_cli.models.spans import walk
from v2drop_cli.records import Grid

if TYPE_CHECKING:
    from v2drop_cli.media import Media


def _grids(config: Any, tensors: Mapping[str, Tensor]) -> Grids:
    """One grid per image, in prompt order."""
    waiting = {config.image_token_id: _sizes(config, tensors.get("image_grid_hw"))}
    return tuple(walk(row, waiting) for row in tensors["input_ids"].tolist())


def _sizes(config: Any, patches: Tensor | None) -> Iterator[tuple[Grid, ...]]:
    merge = round(1 / config.downsample_ratio)
    sizes = [] if patches is None else patches.tolist()
    return ((Grid(1, height // merge, width // merge),) for height, width in sizes)


def _process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str
) -> Mapping[str, Tensor]:
    """One user turn.

    Raises:
        MediaArgumentError: a picture too thin for the processor.
    """
    check_patch_grid(processor, config, media)
    return process_images(processor, config, media, prompt)


def _decoder(model: Module) -> Module:
    inner: Module = language_model(model).model  # type: ignore[assignment]
    return inner


def _vision_tower(model: Module) -> Module:
    tower: Module = inner_model(model).vision_model  # type: ignore[assignment]
    return tower


def _refusal(config: Any) -> str | None:
    if config.get_text_config().use_bias:
        return "a bias in its state-space layers would undo the zeros that stand for padding"
    return refuse_folding(config)


NEMOTRON_H_OMNI = Family(
    name="nemotron_h_omni",
    model_types=("nemotron_h_omni",),
    placeholders=(IMAGE,),
    grids=_grids,
    process=_process,
    decoder=_decoder,
    refusal=_refusal,
    vision_tower=_vision_tower,
    projector=projector,
    media=("image", "images"),
    projections=Projections(
        norm=lambda layer: layer.norm,
        attention=lambda layer: layer.mixer,
        rotate=lambda attention, states, rope: states,
        refusal=lambda config: None,
    ),
)
