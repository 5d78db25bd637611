"""Writes the trained model as an ordinary checkpoint directory."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from benchmarks.tiny.model import PATCH, SIDE

ASSETS = Path(__file__).parents[2] / "v2drop_cli" / "models" / "assets" / "tiny"
FRAME_GRID = [2, 2]


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Pair CLIP's picture preparation at 336 px with the tokenizer."""
    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )


def export(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path = ASSETS
) -> None:
    """Write weights (float16), configuration and processor, one file at a time in full.

    ``frame_grid`` says how frames of a clip are laid out in one picture; transformers keeps
    the key and has no use for it.
    """
    partial = folder.with_name(folder.name + ".part")
    half = copy.deepcopy(model)
    half.half()
    half.config.dtype = torch.float16
    half.generation_config.eos_token_id = tokenizer.eos_token_id
    half.generation_config.pad_token_id = tokenizer.pad_token_id
    half.generation_config.bos_token_id = tokenizer.bos_token_id
    half.save_pretrained(partial)
    build_processor(tokenizer).save_pretrained(partial)
    config = partial / "config.json"
    content = json.loads(config.read_text()) | {"frame_grid": FRAME_GRID}
    for part in ("text_config", "vision_config"):
        content[part].pop("dtype", None)  # in what numbers training held it is no matter
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(partial.iterdir()):
        file.chmod(0o644)
        file.replace(folder / file.name)
    shutil.rmtree(partial)
