"""Dummy weights: a real architecture with random numbers, for timings without a download.

Timings and memory of such a model are real, its answers are not. Architectures come from
small config files in ``assets/`` (numbers only, each with its source), or from any local
``config.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from v2drop_cli.errors import MissingPackageError, ModelError
from v2drop_cli.models.families.llava import SQUARE_TOWERS
from v2drop_cli.models.loading_options import LoadOptions
from v2drop_cli.models.names import ASSETS, Source
from v2drop_cli.models.processors import load_processor
from v2drop_cli.models.weights import auto_class

_STAND_IN_FOR = "llava"


def read_config_file(path: Path) -> Any:
    """A transformers config from a JSON file.

    Raises:
        ModelError: not JSON, or no ``model_type`` that transformers knows.
    """
    from transformers import AutoConfig

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return AutoConfig.for_model(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} is no model configuration: {error}",
            hint="give the config.json of a transformers model",
        ) from error


def dummy_model(config: Any, device: torch.device, dtype: torch.dtype, options: LoadOptions) -> Any:
    """The architecture of ``config`` with random weights, made on ``device`` directly."""
    torch.manual_seed(options.seed)
    with torch.device(device):
        return auto_class(config.model_type).from_config(
            config, dtype=dtype, attn_implementation=options.attn_implementation
        )


def dummy_processor(source: Source, config: Any, options: LoadOptions | None = None) -> Any:
    """The model's own processor if it is on this machine, else a stand-in of the same shapes.

    Only LLaVA-1.5 has a stand-in: other families' prompts depend on processors that cannot be
    made up here. It makes pixels and vision tokens exactly as LLaVA's does; text goes through
    the embedded model's small tokenizer, whose counts differ from the real one's. ``config``
    is told that tokenizer's placeholder id.
    """
    options = options or LoadOptions(weights="dummy")
    if source.is_local and (Path(source.location) / "tokenizer_config.json").is_file():
        return load_processor(source, options, config.model_type)
    if config.model_type == _STAND_IN_FOR and config.vision_config.model_type in SQUARE_TOWERS:
        return _stand_in(config)
    try:  # a cached or reachable processor is small, unlike weights
        return load_processor(source, options, config.model_type)
    except MissingPackageError as error:
        error.hint = f"{error.hint}; or leave out --image and --video: synthetic input needs none"
        raise
    except Exception as error:  # of a Hub client or a parser
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"dummy weights need this model's processor, and {source.location} gave none: {first}",
            hint="leave out --image and --video for synthetic input, which needs none; or copy its "
            "processor and tokenizer files here, beside config.json, and pass that directory as "
            "--model",
        ) from error


def _stand_in(config: Any) -> Any:
    from transformers import AutoTokenizer, LlavaProcessor
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    embedded = ASSETS / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(embedded)
    images = AutoImageProcessor.from_pretrained(embedded)
    side = config.vision_config.image_size
    images.size = {"shortest_edge": side}
    images.crop_size = {"height": side, "width": side}
    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    config.image_token_id = processor.image_token_id
    return processor
