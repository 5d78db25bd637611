"""What a family is: small functions that say where the vision tokens and the decoder are.

A new family is one file in this folder and one line in :mod:`v2drop_cli.models.registry`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor

from v2drop_cli.errors import UnsupportedModelError, UsageError
from v2drop_cli.models.answers import Generated, Prompts, decoded
from v2drop_cli.models.decoders import last_droppable, refuse_decoder
from v2drop_cli.models.inputs import Inputs, VisionTokens
from v2drop_cli.models.later import Later
from v2drop_cli.models.parts import inner_model, language_model
from v2drop_cli.models.projections import Projections, Tower
from v2drop_cli.models.shown import Shown, as_processed
from v2drop_cli.records import Caveat, Grid
from v2drop_cli.schedule import PRESETS, REFERENCE_DEPTH, Schedule
from v2drop_cli.tensors import true_positions

if TYPE_CHECKING:
    from v2drop_cli.media import Media

# A transformers model or one of its parts; transformers has no useful static types.
Module = torch.nn.Module


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A token id that the model replaces by vision features.

    Attributes:
        token_id: the config attribute that holds the id; with dots, of a part of the config.
        pixels: the forward argument with the pixels behind it.
        modality: ``image`` or ``video``, the key of features encoded beforehand: from 5.20 on,
            ``generate`` encodes the pixels first and passes ``mm_encoder_outputs`` instead.
    """

    token_id: str
    pixels: str
    modality: str = "image"

    def id_of(self, config: Any) -> Any:
        """The id itself; a family refuses a configuration that does not say it."""
        return functools.reduce(getattr, self.token_id.split("."), config)

    def filled(self, arguments: Mapping[str, Any]) -> bool:
        """Whether this forward was given what to put there; if not, the id is text."""
        if arguments.get(self.pixels) is not None:
            return True
        encoded = arguments.get("mm_encoder_outputs")
        if isinstance(encoded, Tensor):  # some models take the features of images alone
            return self.modality == "image"
        return encoded is not None and encoded.get(self.modality) is not None


@dataclass(frozen=True, slots=True)
class SyntheticMedia:
    """An image or a video that only has a size: enough to time a model on.

    Attributes:
        width, height: pixels of the picture, or of every frame.
        frames: of a video; ``None`` for an image.
    """

    width: int
    height: int
    frames: int | None = None


@dataclass(frozen=True, slots=True)
class Synthetic:
    """What a family's processor would make of made-up media, without the processor.

    Attributes:
        ids: per image or video, the token ids that stand for it, delimiters included.
        tensors: random pixels, and whatever sizes go with them, for the model's ``forward``.
        types: per image or video, what the processor marks each of its ids as; if empty, an
            image's placeholders as 1, a video's as 2, and delimiters as text.
    """

    ids: Sequence[Sequence[int]]
    tensors: Mapping[str, Tensor]
    types: Sequence[Sequence[int]] = ()


IMAGE = Placeholder("image_token_id", "pixel_values")
VIDEO = Placeholder("video_token_id", "pixel_values_videos", "video")

Grids = tuple[tuple[Grid, ...], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture family: frozen, no inheritance, small functions.

    Attributes:
        name: short name, as in ``v2drop models``.
        model_types: ``config.model_type`` values served.
        placeholders: the ids whose positions are droppable vision tokens.
        grids: (config, processed tensors) → how each row's vision tokens lie over the pixels.
        process: (processor, config, media, prompt) → the tensors of one prompt.
        shown: (processor, config, medium, its grids) → where what each is a share of lies over it.
        types_name: the forward's argument that marks pictures by 1, videos by 2, if there is one.
        grid_tensors: names of what ``process`` gives to ``grids`` alone; no model takes them.
        packed: names of pixels that all rows of a batch have side by side, in the last dimension.
        multimodal: model → the module whose forward takes ``input_ids`` and the pixels.
        decoder: model → the text decoder, with its blocks in ``.layers``.
        first_droppable_layer: config → first layer whose input may be shortened.
        full_until: why layers before that one need the whole prompt, for messages.
        first_position: position that the model gives the first token, left to itself.
        numbers_rows: whether positions or pixels of a row are numbered on through its batch.
        counts_by_mask: whether it numbers pictures only where it is given a mask.
        refusal: config → why it cannot be served, or ``None``; see also ``decoders.unproven``.
        blocks: (config, a forward's arguments) → ``[B, Q]`` long, the block of each column; those
            of one block attend to each other in both directions, ``-1`` is causal. ``None`` where
            the model attends causally. The arguments have the KV cache as ``cache`` always.
        later: the decoder's arguments → features that it adds between its layers, at the whole
            prompt's vision tokens; ``None`` where there are none.
        blocks_in_windows: whether only layers with a sliding window attend in blocks.
        windows_cut_blocks: whether a sliding window also cuts blocks; if not, they are seen whole.
        vision_tower: model → what encodes pixels, or ``None`` where it is not told apart.
        projections: how the decoder's layers make queries and keys.
        tower: what is in the vision tower, and which patch a token stands for, if that is shown.
        projector: model → the module between tower and decoder, or ``None`` likewise.
        presets: named schedules, scaled by depth for models of other depths.
        preset_layers: decoder layers that the presets are written for.
        preset_source: where the presets come from.
        media: what its processor takes: ``image``, ``images`` (several), ``video``.
        synthetic: (config, made-up media) → their ids and pixels, as the family's own processor
            makes them at its published settings; ``None`` where nobody wrote it.
    """

    name: str
    model_types: tuple[str, ...]
    placeholders: tuple[Placeholder, ...]
    grids: Callable[[Any, Mapping[str, Tensor]], Grids]
    process: Callable[[Any, Any, Sequence[Media], str], Mapping[str, Tensor]]
    shown: Shown = as_processed
    types_name: str = "mm_token_type_ids"
    grid_tensors: tuple[str, ...] = ()
    packed: tuple[str, ...] = ()
    multimodal: Callable[[Module], Module] = inner_model
    decoder: Callable[[Module], Module] = language_model
    first_droppable_layer: Callable[[Any], int] = lambda config: 0
    full_until: str = ""
    first_position: int = 0
    numbers_rows: bool = False
    counts_by_mask: bool = False
    refusal: Callable[[Any], str | None] = refuse_decoder
    blocks: Callable[[Any, Mapping[str, Any]], Tensor | None] = lambda config, arguments: None
    later: Callable[[Mapping[str, Any]], Later | None] = lambda arguments: None
    blocks_in_windows: bool = False
    windows_cut_blocks: bool = True
    vision_tower: Callable[[Module], Module | None] = lambda model: None
    projections: Projections = field(default_factory=Projections)
    tower: Tower | None = None
    projector: Callable[[Module], Module | None] = lambda model: None
    presets: Mapping[str, str] = field(default_factory=lambda: dict(PRESETS))
    preset_layers: int = REFERENCE_DEPTH
    preset_source: str = "arXiv 2509.01552 for LLaVA-1.5-7B, scaled by depth"
    media: tuple[str, ...] = ("image", "images", "video")
    synthetic: Callable[[Any, Sequence[SyntheticMedia]], Synthetic] | None = None

    def vision_mask(self, config: Any, arguments: Mapping[str, Any]) -> Tensor | None:
        """Where the droppable vision tokens are in this forward, ``[B, L]`` bool.

        ``None`` if it was given no pixels: a placeholder id without them is text, and a model
        may even generate one.

        Args:
            config: the model's.
            arguments: the forward's; ``input_ids [B, L]`` among them.
        """
        ids = arguments["input_ids"]
        masks = [
            ids == placeholder.id_of(config)
            for placeholder in self.placeholders
            if placeholder.filled(arguments)
        ]
        return functools.reduce(torch.logical_or, masks) if masks else None

    def vision_tokens(self, config: Any, tensors: Mapping[str, Tensor]) -> VisionTokens:
        """Where the vision tokens of processed prompts are, with their grids."""
        mask = self.vision_mask(config, tensors)
        if mask is None:
            rows = len(tensors["input_ids"])
            nowhere = tensors["input_ids"].new_zeros(0)
            return VisionTokens((nowhere,) * rows, ((),) * rows)
        return VisionTokens(true_positions(mask), self.grids(config, tensors))

    def prepare(self, processor: Any, config: Any, media: Sequence[Media], prompt: str) -> Inputs:
        """One prompt, through the model's own processor."""
        tensors = self.process(processor, config, media, prompt)
        given = {name: tensors[name] for name in tensors if name not in self.grid_tensors}
        return Inputs(given, self.vision_tokens(config, tensors), packed=self.packed)

    def droppable(self, config: Any) -> tuple[int, int | None]:
        """The first layer that can drop, and the last one; ``None`` where all later ones can."""
        return self.first_droppable_layer(config), last_droppable(config)

    def check(self, schedule: Schedule, config: Any, n_layers: int) -> None:
        """Raise :class:`ScheduleError` unless ``schedule`` fits a decoder of ``n_layers``."""
        schedule.check(n_layers, *self.droppable(config), self.full_until)

    def layers(self, model: Module) -> Sequence[Module]:
        """The decoder's blocks, in order."""
        decoder = self.decoder(model)
        if "layers" not in decoder._modules:
            raise UnsupportedModelError(f"a {type(decoder).__name__} decoder is not served")
        blocks: Sequence[Module] = decoder.layers  # type: ignore[assignment]
        return blocks


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to answer.

    Attributes:
        model: the transformers model, in eval mode on ``device``.
        processor: its processor (tokenizer and image processor together); ``None`` for synthetic
            input.
        family: how this tool talks to it.
        source: resolved id or path it was loaded from.
        revision: commit of the Hub repository, where there is one.
        weights: ``"trained"`` or ``"dummy"``.
        caveats: what the reader of this model's answers must know.
        allow_unproven: whether a decoder that nobody has proven is dropped in.
        fake_quant: bits that the decoder computes with, simulated (``"w4a4"``); ``None``: its own.
        parts: among how many processes it is split.
        prompts: those it prepared, for :meth:`decode`.
    """

    model: Any
    processor: Any
    family: Family
    device: torch.device
    dtype: torch.dtype
    source: str
    revision: str | None
    weights: str
    caveats: tuple[Caveat, ...] = ()
    allow_unproven: bool = False
    fake_quant: str | None = None
    parts: int = 1
    prompts: Prompts = field(default_factory=Prompts, repr=False, compare=False)

    @property
    def n_layers(self) -> int:
        """Decoder layers."""
        return len(self.family.layers(self.model))

    @property
    def droppable(self) -> tuple[int, int | None]:
        """The first layer this model can drop at, and the last one; ``None``: all later ones."""
        return self.family.droppable(self.model.config)

    def check(self, schedule: Schedule) -> None:
        """Raise :class:`ScheduleError` unless ``schedule`` fits the decoder."""
        self.family.check(schedule, self.model.config, self.n_layers)

    @property
    def attn_implementation(self) -> str:
        """Attention implementation of the decoder: ``eager``, ``sdpa`` …"""
        return str(self.model.config.get_text_config()._attn_implementation)

    def prepare(self, media: Sequence[Media], prompt: str) -> Inputs:
        """One prompt with its media, processed; tensors on the host.

        Raises:
            UsageError: it was loaded for synthetic input, without a processor.
        """
        if self.processor is None:
            raise UsageError(
                "this model was loaded for synthetic input and has no processor",
                hint="load it without `synthetic` to show it files",
            )
        inputs = self.family.prepare(self.processor, self.model.config, media, prompt)
        self.prompts.remember(inputs.tensors["input_ids"])
        return inputs

    @overload
    def decode(self, output: Sequence[int]) -> str: ...

    @overload
    def decode(self, output: Tensor | Generated) -> list[str]: ...

    def decode(self, output: Sequence[int] | Tensor | Generated) -> str | list[str]:
        """Text without special tokens; empty without a tokenizer.

        Of what ``model.generate`` returned for prompts of :meth:`prepare`, ``[batch, length]``, a
        list: the answer of each row. Of the token ids of one answer alone, its text. Raises a
        :class:`UsageError` where a row begins with no prompt that :meth:`prepare` made.
        """
        return decoded(self.processor, self.prompts, output)
