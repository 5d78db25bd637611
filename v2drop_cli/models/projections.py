"""How a layer makes queries and keys, so that single rows of its attention can be made again.

Fast attention kernels keep no attention weights. A method that needs a row or two of them gets
those from the layer's own input, norm and projections, and all other rows stay with the kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor

# A layer or a part of one; transformers has no useful static types.
Module = Any
Rope = tuple[Tensor, Tensor]

KNOWN = frozenset({
    "arcee", "aria_text", "bitnet", "cohere", "cohere_compass_text", "cosmos3_edge_text",
    "deepseek_ocr2_text", "dots1", "ernie4_5", "ernie4_5_moe", "gemma", "gemma3_text", "glm",
    "glm4", "glm4_moe", "glm4v_moe_text", "glm4v_text", "glm_ocr_text", "granite",
    "granite4_vision_text", "granite_docling_text", "granitemoe", "granitemoeshared", "helium",
    "hunyuan_v1_dense", "hunyuan_vl_text", "hy_v3", "hyperclovax", "internlm3", "iquestcoder",
    "jais2", "llama", "mellum", "mistral", "mixtral", "molmo2_text", "nanochat", "nemotron",
    "paddleocr_vl_text", "phimoe", "qwen2", "qwen2_5_omni_text", "qwen2_5_vl_text", "qwen2_moe",
    "qwen2_vl_text", "qwen3", "qwen3_moe", "qwen3_omni_moe_text", "qwen3_vl_moe_text",
    "qwen3_vl_text", "seed_oss", "smollm3", "solar_open", "starcoder2", "step3p5",
    "unlimited_ocr_text",
})  # fmt: skip
"""``model_type`` of the decoders whose rows are made again by the defaults below: a test holds
each against what its eager attention returns."""


def unknown_decoder(config: Any) -> str | None:
    """Why rows of this decoder's attention cannot be made again, or ``None``."""
    name = config.get_text_config().model_type
    if name in KNOWN:
        return None
    return f"nobody has shown how the attention of a {name} decoder is made again, row by row"


def _headed(attention: Module, states: Tensor, part: str) -> Tensor:
    """``[heads, m, d]`` of the normed states ``[m, D]``, by the projection ``q`` or ``k``."""
    made = getattr(attention, f"{part}_proj")(states).unflatten(-1, (-1, attention.head_dim))
    norm = getattr(attention, f"{part}_norm", None)
    if norm is not None:  # over each head, as in Qwen3
        made = norm(made[None])[0]
    headed: Tensor = made.transpose(0, 1)
    return headed


def queries(attention: Module, states: Tensor) -> Tensor:
    """``[H, m, d]`` queries of normed states ``[m, D]``, not yet rotated."""
    return _headed(attention, states, "q")


def keys(attention: Module, states: Tensor) -> Tensor:
    """``[G, m, d]`` keys of normed states ``[m, D]``, not yet rotated."""
    return _headed(attention, states, "k")


def rotate(attention: Module, states: Tensor, rope: Rope) -> Tensor:
    """Queries or keys ``[heads, m, d]`` turned by the model's own function, to ``rope`` ``[m, d]``.

    It turns queries and keys together; one head stands for the half that nobody asked for.
    """
    if not getattr(attention, "use_rope", True):  # some layers of SmolLM3
        return states
    apply = sys.modules[type(attention).__module__].apply_rotary_pos_emb
    cos, sin = (table[None] for table in rope)
    turned: Tensor = apply(states[None], states[None, :1], cos, sin)[0][0]
    return turned


def settle(attention: Module, turned: Tensor, part: str) -> Tensor:
    """Turned queries ``q`` or keys ``k`` ``[heads, m, d]`` as they are multiplied.

    Hunyuan norms them after they were turned; others have nothing left to do.
    """
    name = {"q": "query_layernorm", "k": "key_layernorm"}[part]
    norm = getattr(attention, name, None)
    return turned if norm is None else norm(turned)


@dataclass(frozen=True, slots=True)
class Projections:
    """Small functions of one layer. The defaults serve decoders that are built like Llama's.

    Attributes:
        norm: layer → what its input goes through before the attention.
        attention: layer → the module with the projections.
        queries: (attention, normed states ``[m, D]``) → ``[H, m, d]``.
        keys: (attention, normed states ``[m, D]``) → ``[G, m, d]``; H is a multiple of G.
        rotate: (attention, queries or keys, tables) → the same at their positions.
        settle: (attention, turned queries or keys, ``q`` or ``k``) → what is multiplied.
        scaling: attention → factor of the products of queries and keys.
        refusal: config → why none of this holds for its decoder, or ``None``.
    """

    norm: Callable[[Module], Module] = lambda layer: layer.input_layernorm
    attention: Callable[[Module], Module] = lambda layer: layer.self_attn
    queries: Callable[[Module, Tensor], Tensor] = queries
    keys: Callable[[Module, Tensor], Tensor] = keys
    rotate: Callable[[Module, Tensor, Rope], Tensor] = rotate
    settle: Callable[[Module, Tensor, str], Tensor] = settle
    scaling: Callable[[Module], float] = lambda attention: attention.scaling
    refusal: Callable[[Any], str | None] = unknown_decoder


# CLIP's and SigLIP's blocks: another name for the norm and the factor, and nothing is rotated.
SQUARE_TOWER = Projections(
    norm=lambda layer: layer.layer_norm1,
    rotate=lambda attention, states, rope: states,
    scaling=lambda attention: attention.scale,
)


@dataclass(frozen=True, slots=True)
class Crops:
    """Which patches the vision tokens of one image stand for.

    The tower encodes every crop of an image as a picture of its own. Most models make one crop of
    an image; models of tiles make a thumbnail, crop 0, and the tiles, in raster order.

    Attributes:
        count: crops of the image.
        crop: ``[k]`` long, for each token of the image its crop; ``-1`` for a separator, which
            stands for no patch.
        patch: ``[k]`` long, the token's patch, counted through those that a crop hands on; ``0``
            for a separator.
    """

    count: int
    crop: Tensor
    patch: Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is known of the pictures that the tower encoded for a forward.

    Attributes:
        arguments: the model's forward's.
        tokens: vision tokens of each of its rows.
        pictures: how many pictures, that is crops of all images, the tower encoded.
        patches: how many patches of a picture are handed on.
    """

    arguments: Mapping[str, Any]
    tokens: Sequence[int]
    pictures: int
    patches: int


# One `Crops` an image, all images of a forward in order.
Layout = Sequence[Crops]


def _one_crop(config: Any, encoded: Encoded) -> Sequence[Layout]:
    """Every picture is an image, every patch a token."""
    places = torch.arange(encoded.patches)
    return [[Crops(1, torch.zeros_like(places), places)] * encoded.pictures]


@dataclass(frozen=True, slots=True)
class Tower:
    """What a family's vision tower shows, and which of its patches a vision token stands for.

    Attributes:
        layers: tower → its blocks, in order; each is given ``[pictures, patches, D]``.
        patches: (config, patches of a picture) → ``[k]`` long, the patches that are handed on.
        class_token: config → the class token's place among the patches, ``None`` without one.
        sides: patches of a picture, the class token not counted → how many rows and columns they
            have.
        features: config → the tower's hidden states that the projector is given, side by side:
            the number of the block that they enter, ``None`` for what the tower returns.
        layouts: (config, what was encoded) → the ways in which the images' tokens may stand for
            patches. They are several only where neither the call nor the counts tell; the
            features that the model made then do.
        tiled: whether an image can be several pictures, and so ``layouts`` several.
        refusal: config → why this tower cannot be looked into, or ``None``.
        projections: how its blocks make queries and keys.
    """

    layers: Callable[[Module], Any]
    patches: Callable[[Any, int], Tensor]
    class_token: Callable[[Any], int | None]
    sides: Callable[[int], tuple[int, int]]
    features: Callable[[Any], tuple[int | None, ...]]
    layouts: Callable[[Any, Encoded], Sequence[Layout]] = _one_crop
    tiled: bool = False
    refusal: Callable[[Any], str | None] = lambda config: None
    projections: Projections = SQUARE_TOWER


def _square_refusal(config: Any) -> str | None:
    name = config.vision_config.model_type
    if name not in ("clip_vision_model", "siglip_vision_model"):
        return f"nobody has shown which patches of a {name} its vision tokens stand for"
    return None


def _square_patches(config: Any, count: int) -> Tensor:
    first = 1 if getattr(config, "vision_feature_select_strategy", "full") == "default" else 0
    return torch.arange(first, count)


def _square_layers(tower: Module) -> Any:
    inner: Any = getattr(tower, "vision_model", tower)  # older releases wrap it
    return inner.encoder.layers


def _square_features(config: Any) -> tuple[int | None, ...]:
    """LLaVA's config names one hidden state or several; PaliGemma takes what the tower returns."""
    older = getattr(config, "vision_feature_layers", None)  # ViP-LLaVA's name up to some version
    named: Any = getattr(config, "vision_feature_layer", older)
    vision = config.vision_config
    if named is None:
        return (None,)
    states = [named] if isinstance(named, int) else named
    counted = [i if i >= 0 else vision.num_hidden_layers + 1 + i for i in states]
    # CLIP returns what leaves its last block; SigLIP returns that normalised, which is another.
    last = vision.num_hidden_layers if vision.model_type.startswith("clip") else -1
    return tuple(None if i == last else i for i in counted)


# One token a patch, in raster order; CLIP puts a class token before them, which most leave out.
SQUARE = Tower(
    layers=_square_layers,
    patches=_square_patches,
    class_token=lambda config: 0 if config.vision_config.model_type.startswith("clip") else None,
    sides=lambda patches: (isqrt(patches), isqrt(patches)),
    features=_square_features,
    refusal=_square_refusal,
)
