"""Tiny checkpoints on disk: random weights, real files, loaded by the real code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor

from tests.tiny_llava import make_llava
from v2drop_cli.models.names import ASSETS


def small_processor():
    """The embedded processor, set to 24-pixel images of 6 x 6 patches."""
    processor = AutoProcessor.from_pretrained(ASSETS / "tiny")
    processor.image_processor.size = {"shortest_edge": 24}
    processor.image_processor.crop_size = {"height": 24, "width": 24}
    processor.patch_size = 4
    return processor


def small_llava(n_layers: int = 6):
    """A random-weight LLaVA whose vocabulary fits the embedded tokenizer."""
    model, processor = make_llava(n_layers), small_processor()
    config = model.config
    config.text_config.vocab_size = len(processor.tokenizer)
    config.image_token_id = processor.image_token_id
    torch.manual_seed(0)
    return type(model)(config).eval(), processor


def save_checkpoint(folder: Path, n_layers: int = 6) -> Path:
    """A complete local checkpoint."""
    model, processor = small_llava(n_layers)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_config(folder: Path, n_layers: int = 6) -> Path:
    """A config.json alone, for dummy weights."""
    folder.mkdir(exist_ok=True)
    model, _ = small_llava(n_layers)
    values = json.loads(model.config.to_json_string(use_diff=False))
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, Any]]) -> Path:
    """Replace the tensors of a checkpoint by what `change` makes of them."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})
    return folder


def edit_json(path: Path, leave_out: tuple[str, ...] = (), **values: Any) -> None:
    """Change some keys of a JSON file, which may not be there yet."""
    found = json.loads(path.read_text()) if path.exists() else {}
    kept = {key: value for key, value in found.items() if key not in leave_out}
    path.write_text(json.dumps({**kept, **values}))
