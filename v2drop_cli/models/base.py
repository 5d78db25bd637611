"""What a family is: small functions that say where the vision tokens and the decoder are.

A new family is one file in this folder and one line in :mod:`v2drop_cli.models.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# A transformers model or one of its parts; transformers has no useful static types.
Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Grid:
    """How one span of vision tokens lies over the pixels.

    Attributes:
        t, h, w: frames, rows and columns of tokens, in raster order.
        box: (left, top, right, bottom) of the processed picture covered, as shares of its sides.
    """

    t: int
    h: int
    w: int
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class VisionTokens:
    """Where the droppable vision tokens of a prompt are.

    Attributes:
        index: per batch row, ``[n]`` long ascending positions in that row of ``input_ids``.
        grids: per batch row, one grid per span, in order.
    """

    index: tuple[Tensor, ...]
    grids: tuple[tuple[Grid, ...], ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Vision tokens per batch row."""
        return tuple(len(row) for row in self.index)


@dataclass(frozen=True, slots=True)
class Inputs:
    """One processed prompt.

    Attributes:
        tensors: what the model's ``forward`` takes (``input_ids`` ``[1, L]``, ``pixel_values`` …).
        vision: where the vision tokens are in ``input_ids``.
    """

    tensors: Mapping[str, Tensor]
    vision: VisionTokens

    def to(self, device: torch.device, dtype: torch.dtype) -> Inputs:
        """The same on ``device``; floating tensors in ``dtype``, as the model wants them."""
        moved = {
            name: tensor.to(device, dtype if tensor.is_floating_point() else None)
            for name, tensor in self.tensors.items()
        }
        index = tuple(row.to(device) for row in self.vision.index)
        return Inputs(moved, VisionTokens(index, self.vision.grids))

    @staticmethod
    def batch(prompts: Sequence[Inputs]) -> Inputs:
        """Equally long prompts as the rows of one batch."""
        tensors = {
            name: torch.cat([p.tensors[name] for p in prompts]) for name in prompts[0].tensors
        }
        index = tuple(row for p in prompts for row in p.vision.index)
        grids = tuple(row for p in prompts for row in p.vision.grids)
        return Inputs(tensors, VisionTokens(index, grids))


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture family: frozen, no inheritance, small functions.

    Attributes:
        name: short name, as in ``v2drop models``.
        model_types: ``config.model_type`` values served.
        multimodal: model → the module whose forward takes ``input_ids`` and the pixels.
        decoder: model → the text decoder, with its blocks in ``.layers``.
        vision_tokens: (config, ``input_ids [B, L]``) → where the vision tokens are.
        vision_inputs: forward arguments that carry pixels; none given means no vision tokens,
            whatever ids the text holds.
        prepare: (processor, config, media, prompt) → processed inputs of one prompt.
        first_droppable_layer: config → first layer whose input may be shortened, 1 or more.
        refusal: config → why this configuration cannot be served, or ``None``.
        vision_tower: model → the module that encodes pixels, or ``None`` where it is not told
            apart; for timing only.
        projector: model → the module between tower and decoder, or ``None`` likewise.
        presets: named schedules, written for 32 layers and scaled by depth elsewhere.
        preset_source: where the presets come from.
    """

    name: str
    model_types: tuple[str, ...]
    multimodal: Callable[[Module], Module]
    decoder: Callable[[Module], Module]
    vision_tokens: Callable[[Any, Tensor], VisionTokens]
    vision_inputs: tuple[str, ...]
    prepare: Callable[[Any, Any, Sequence[Media], str], Inputs]
    first_droppable_layer: Callable[[Any], int] = lambda config: 1
    refusal: Callable[[Any], str | None] = lambda config: None
    vision_tower: Callable[[Module], Module | None] = lambda model: None
    projector: Callable[[Module], Module | None] = lambda model: None
    presets: Mapping[str, str] = field(default_factory=dict)
    preset_source: str = ""

    def layers(self, model: Module) -> Sequence[Module]:
        """The decoder's blocks, in order."""
        blocks: Sequence[Module] = self.decoder(model).layers  # type: ignore[assignment]
        return blocks


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to answer.

    Attributes:
        model: the transformers model, in eval mode on ``device``.
        processor: its processor (tokenizer and image processor together).
        family: how this tool talks to it.
        source: resolved id or path it was loaded from.
        revision: commit of the Hub repository, where there is one.
        weights: ``"trained"`` or ``"dummy"``.
    """

    model: Any
    processor: Any
    family: Family
    device: torch.device
    dtype: torch.dtype
    source: str
    revision: str | None
    weights: str

    @property
    def n_layers(self) -> int:
        """Decoder layers."""
        return len(self.family.layers(self.model))

    @property
    def first_droppable(self) -> int:
        """The first layer this model can drop at."""
        return self.family.first_droppable_layer(self.model.config)

    @property
    def attn_implementation(self) -> str:
        """Attention implementation of the decoder: ``eager``, ``sdpa`` …"""
        return str(self.model.config.get_text_config()._attn_implementation)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of generated token ids, special tokens left out."""
        text: str = self.processor.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        return text.strip()
