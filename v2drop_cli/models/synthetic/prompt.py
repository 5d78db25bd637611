"""Prompts that were never typed about pictures that were never taken, for timing alone.

Ids, masks and pixels as a processor would make them, from the configuration: neither processor
nor tokenizer is needed. What a model says to such a prompt means nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import MediaArgumentError, UnsupportedModelError
from v2drop_cli.models.base import Family, LoadedModel, Synthetic, SyntheticMedia
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.models.synthetic.options import SyntheticInput

_IDS = (
    *("_token_id", "_token_ids", "_token_index", "_patch_id"),
    *("_start_id", "_end_id", "newline_id"),
)
_SIDE = 448  # for towers that take any size
_IMAGE, _VIDEO = 1, 2  # what processors of M-RoPE models call their tokens
_PREFIX = "token_type_ids"  # 0 for a prompt that attends both ways


def media_of(given: SyntheticInput, config: Any) -> tuple[SyntheticMedia, ...]:
    """The media meant by ``given``, with the tower's own size where none is named."""
    sizes = given.sizes or (_tower_size(config),)
    return tuple(SyntheticMedia(width, height, given.frames) for width, height in sizes)


def maker(
    given: SyntheticInput, family: Family
) -> Callable[[Any, Sequence[SyntheticMedia]], Synthetic]:
    """What makes media up for ``family``; refused before weights are made, if at all.

    Raises:
        UnsupportedModelError: nobody wrote synthetic input for this family.
        MediaArgumentError: a video or several images for a family without them.
    """
    if family.synthetic is None:
        raise UnsupportedModelError(
            f"there is no synthetic input for {family.name} models",
            hint="give --image FILE or --video FILE, and the model's processor",
        )
    if given.frames is not None and "video" not in family.media:
        raise MediaArgumentError(
            f"{family.name} models take no video",
            hint="leave out --frames, or choose a model that does: v2drop models",
        )
    if len(given.sizes) > 1 and "images" not in family.media:
        raise MediaArgumentError(
            f"{family.name} models take one image", hint="give one --image-size"
        )
    return family.synthetic


def synthetic_inputs(loaded: LoadedModel, given: SyntheticInput) -> Inputs:
    """One prompt: half of the text tokens, the media, the other half.

    Returns:
        ``input_ids [1, L]`` and ``attention_mask [1, L]``, ``mm_token_type_ids [1, L]`` and
        ``token_type_ids [1, L]`` where the model takes them, and the family's pixels; on the
        host, in float32.
    """
    family, config = loaded.family, loaded.model.config
    make, media = maker(given, family), media_of(given, config)
    made = make(config, media)
    words = random_words(config, given.text_tokens, given.seed)
    seen = [torch.tensor(ids, dtype=torch.long) for ids in made.ids]
    before = words[: given.text_tokens // 2]
    after = words[given.text_tokens // 2 :]
    ids = torch.cat([before, *seen, after])[None]
    tensors: dict[str, Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    taken = inspect.signature(family.multimodal(loaded.model).forward).parameters
    if _PREFIX in taken and family.types_name != _PREFIX:
        tensors[_PREFIX] = torch.zeros_like(ids)
    if family.types_name in taken:
        types = [
            torch.tensor(marks, dtype=torch.long) for marks in types_of(family, config, media, made)
        ]
        around = torch.zeros_like(before), torch.zeros_like(after)
        tensors[family.types_name] = torch.cat([around[0], *types, around[1]])[None]
    tensors |= made.tensors
    return Inputs(tensors, family.vision_tokens(config, tensors), packed=family.packed)


def types_of(
    family: Family, config: Any, media: Sequence[SyntheticMedia], made: Synthetic
) -> Sequence[Sequence[int]]:
    """What the processor would mark each id of ``made`` as, per image or video."""
    if made.types:
        return made.types
    places = {p.id_of(config) for p in family.placeholders}
    kinds = [_IMAGE if item.frames is None else _VIDEO for item in media]
    return [
        [kind if token in places else 0 for token in span]
        for kind, span in zip(kinds, made.ids, strict=True)
    ]


def random_words(config: Any, n: int, seed: int = 0) -> Tensor:
    """``[n]`` ids from the vocabulary, none of those that the configuration names."""
    vocabulary = int(config.get_text_config().vocab_size)
    ordinary = torch.ones(vocabulary, dtype=torch.bool)
    for special in _named_ids(config.to_dict()):
        if 0 <= special < vocabulary:
            ordinary[special] = False
    words = ordinary.nonzero()[:, 0]
    draw = torch.Generator().manual_seed(seed)
    return words[torch.randint(len(words), (n,), generator=draw)]


def _named_ids(values: Any) -> Iterator[int]:
    """Every ``…_token_id`` and the like of a configuration and of its parts."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _named_ids(value)
        elif str(name).endswith(_IDS):
            found = value if isinstance(value, Sequence) else [value]
            yield from (item for item in found if isinstance(item, int))


def _tower_size(config: Any) -> tuple[int, int]:
    """Width and height of the square that the vision tower takes, or of a fair-sized one."""
    side = getattr(config.vision_config, "image_size", None) or _SIDE
    height, width = side if isinstance(side, Sequence) else (side, side)
    return int(width), int(height)
