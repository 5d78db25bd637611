"""A model's own processor, whole: what its files leave out is taken from the model's config.

Older checkpoints of LLaVA and its relatives were saved when the model itself spread the
placeholders. Today the processor does, and must know how many tokens the model's tower gives. The
config says that too, so a processor that does not is completed from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import ModelError
from v2drop_cli.models.packages import check_processor, processor_name
from v2drop_cli.models.spans import timm_patch
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.models.names import Source

# Tokens that a tower puts beside its patches: CLIP's class token, and none in the others.
_BESIDE = {"clip_vision_model": 1, "siglip_vision_model": 0, "pixtral": 0}

_WHOLE = (
    "copy the tokenizer and preprocessor files of the model it was made from; tools for "
    "fine-tuning often save the weights alone"
)


def load_processor(source: Source, options: LoadOptions, model_type: str | None = None) -> Any:
    """The processor that the checkpoint's files describe.

    Args:
        source: the checkpoint.
        options: how it is loaded.
        model_type: of its configuration; names the processor where the files do not.

    Raises:
        MissingPackageError: the processor needs a package that is not installed.
        ModelError: the files describe a part of one, such as a tokenizer alone.
    """
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(
            source.location,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
        )
    except (ImportError, ValueError):
        # By now the files are here, also those of a model on the Hub, and name the class.
        check_processor(source.name, processor_name(source, model_type, options.revision))
        raise
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise ModelError(
                f"{source.name} has no {part.replace('_', ' ')}: its files give a "
                f"{type(processor).__name__} alone",
                hint=_WHOLE,
            )
    return processor


def complete(processor: Any, config: Any) -> tuple[Caveat, ...]:
    """Tell the processor what the model's config says of its tower; name what was changed.

    The model decides: with any other number of placeholders its forward refuses the prompt.
    """
    changed = []
    for name, value in _facts(config).items():
        if hasattr(processor, name) and getattr(processor, name) != value:
            changed.append(f"{name} {value} (was {getattr(processor, name)})")
            setattr(processor, name, value)
    if not changed:
        return ()
    if hasattr(processor, "full_image_sequence"):  # Gemma 3's is written once, when it is made
        names = processor.tokenizer
        picture = names.boi_token + names.image_token * processor.image_seq_length + names.eoi_token
        processor.full_image_sequence = f"\n\n{picture}\n\n"
    return (CaveatKind.PROCESSOR_COMPLETED.caveat(changed=", ".join(changed)),)


def _facts(config: Any) -> Mapping[str, Any]:
    """What a processor must know of the tower, as far as the config tells; else nothing."""
    of_model = _OF_MODELS.get(getattr(config, "model_type", ""))
    if of_model is not None:
        return of_model(config)
    tower: Any = getattr(config, "vision_config", None)
    kind = getattr(tower, "model_type", "")
    family = getattr(config, "model_type", "")
    if family == "perception_lm":
        facts, patch = {"pooling_ratio": config.projector_pooling_ratio}, timm_patch(tower)
        return facts if patch is None else {**facts, "patch_size": patch}
    if family in _BY_FAMILY:
        return _BY_FAMILY[family](config)
    if kind in _PER_TILE:
        return {_PER_TILE[kind][0]: _PER_TILE[kind][1](config)}
    if getattr(config, "mm_tokens_per_image", None):
        return {"image_seq_length": config.mm_tokens_per_image}
    if kind not in _BESIDE:
        return {}
    facts = {"patch_size": tower.patch_size}
    if kind == "pixtral":
        merge = getattr(config, "spatial_merge_size", 1)
        merged = tower.patch_size * merge  # LightOnOCR's processor multiplies when it is made
        return {**facts, "spatial_merge_size": merge, "effective_patch_size": merged}
    # ViP-LLaVA's code leaves the class token out, and its configuration does not say so.
    usual = "default" if family == "vipllava" else None
    strategy = getattr(config, "vision_feature_select_strategy", usual)
    if strategy is None:
        return {}
    return {
        **facts,
        "num_additional_image_tokens": _BESIDE[kind],
        "vision_feature_select_strategy": strategy,
        "num_image_tokens": _patches(tower.image_size, tower.patch_size) + _BESIDE[kind],
    }


def _patches(size: Any, patch: Any) -> int:
    """Patches of one picture; sizes are a number or (height, width)."""
    (high, wide), (down, across) = _pair(size), _pair(patch)
    return (high // down) * (wide // across)


def _pair(size: Any) -> tuple[int, int]:
    return (size[0], size[1]) if isinstance(size, list | tuple) else (size, size)


def _idefics(config: Any) -> int:
    tower = config.vision_config
    return int(_patches(tower.image_size, tower.patch_size) / config.scale_factor**2)


def _internvl(config: Any) -> int:
    tower = config.vision_config
    return int(_patches(tower.image_size, tower.patch_size) * config.downsample_ratio**2)


def _granite_docling(config: Any) -> int:
    tower = config.vision_config
    return int(_patches(tower.image_size, tower.patch_size) / tower.scale_factor**2)


def _janus(config: Any) -> int:
    return _patches(config.vision_config.image_size, config.vision_config.patch_size)


def _llama4(config: Any) -> Mapping[str, Any]:
    tower = config.vision_config
    downsample = round(1 / tower.pixel_shuffle_ratio**2)
    return {"patch_size": tower.patch_size, "downsample_ratio": downsample}


def _aya_vision(config: Any) -> Mapping[str, Any]:
    tower, factor = config.vision_config, config.downsample_factor
    return {"patch_size": tower.patch_size * factor, "img_size": tower.image_size}


def _cohere2_vision(config: Any) -> Mapping[str, Any]:
    tower = config.vision_config  # what is called so is tokens along a tile
    return {"patch_size": tower.image_size // tower.patch_size // config.downsample_factor}


def _idefics2(config: Any) -> Mapping[str, Any]:
    return {"image_seq_len": config.perceiver_config.resampler_n_latents}


# Families whose processors reckon in a way of their own.
_BY_FAMILY: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "llama4": _llama4,
    "aya_vision": _aya_vision,
    "cohere2_vision": _cohere2_vision,
    "idefics2": _idefics2,
}
# Towers whose processors are told the tokens of a tile: the attribute, and how it is reckoned.
_PER_TILE: dict[str, tuple[str, Callable[[Any], int]]] = {
    "idefics3_vision": ("image_seq_len", _idefics),
    "smolvlm_vision": ("image_seq_len", _idefics),
    "granite_docling_vision": ("image_seq_len", _granite_docling),
    "internvl_vision": ("image_seq_length", _internvl),
    "qianfan_ocr_vision": ("image_seq_length", _internvl),
    "janus_vision_model": ("num_image_tokens", _janus),
}


def _square(config: Any) -> Mapping[str, Any]:
    tower = config.vision_config
    return {"num_image_tokens": _patches(tower.image_size, tower.patch_size)}


def _ovis(config: Any) -> Mapping[str, Any]:
    tower = config.vision_config
    side = math.ceil(tower.image_size // tower.patch_size / tower.hidden_stride)
    return {"image_seq_length": side**2}


def _sams_patch(config: Any) -> Mapping[str, Any]:
    return {"patch_size": config.vision_config.sam_config.patch_size}


def _fast(config: Any) -> Mapping[str, Any]:
    # FastViT's stride is its architecture's; transformers lets LLaVA's processor count by it.
    return {
        "patch_size": 64,
        "num_additional_image_tokens": 0,
        "vision_feature_select_strategy": config.vision_feature_select_strategy,
    }


# Models whose towers alone do not tell what their processors must know.
_OF_MODELS: dict[str, Callable[[Any], Mapping[str, Any]]] = {
    "deepseek_vl": _square,
    "deepseek_vl_hybrid": _square,
    "aria": lambda config: {},  # its tower is Idefics3's, its tokens are learned queries
    "ovis2": _ovis,
    "deepseek_ocr2": _sams_patch,
    "unlimited_ocr": _sams_patch,
    "fast_vlm": _fast,
}
