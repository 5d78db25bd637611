"""Models by name: what ``--model NAME`` means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from v2drop_cli.errors import UnsupportedModelError, UsageError, unknown_name
from v2drop_cli.models.refused import REFUSED

ASSETS = Path(__file__).parent / "assets"

DEFAULT_PROMPTS = {"image": "Describe the image.", "video": "Describe the video."}


@dataclass(frozen=True, slots=True)
class Alias:
    """A short name for a model.

    Attributes:
        name: as in ``--model``.
        source: Hub id, or ``None`` for the model embedded in this package.
        family: family name.
        config: file in ``assets/`` with the architecture, for ``--weights dummy``; or ``None``.
        note: one line for ``v2drop models``.
        prompts: what to ask of an image or a video when no prompt is given.
        processor: its processor's class in transformers, where that is not the one its
            architecture usually comes with.
    """

    name: str
    source: str | None
    family: str
    config: str | None
    note: str
    prompts: Mapping[str, str] = field(default_factory=lambda: DEFAULT_PROMPTS)
    processor: str | None = None


ALIASES: dict[str, Alias] = {
    alias.name: alias
    for alias in (
        Alias(
            "tiny",
            None,
            "llava",
            None,
            "trained, embedded: no download, runs on a CPU; knows coloured shapes",
            # It was taught questions; describing is the hardest of them.
            {
                "image": "How many circles are there?",
                "video": "Which direction does the circle move?",
            },
        ),
        Alias(
            "llava-1.5-7b",
            "llava-hf/llava-1.5-7b-hf",
            "llava",
            "llava-1.5-7b.json",
            "the paper's main model, 576 vision tokens",
        ),
        Alias(
            "llava-1.5-13b",
            "llava-hf/llava-1.5-13b-hf",
            "llava",
            "llava-1.5-13b.json",
            "40 decoder layers, 576 vision tokens",
        ),
        Alias(
            "qwen2-vl-2b",
            "Qwen/Qwen2-VL-2B-Instruct",
            "qwen2_vl",
            "qwen2-vl-2b.json",
            "28 decoder layers, any resolution, video",
        ),
        Alias(
            "qwen2-vl-7b",
            "Qwen/Qwen2-VL-7B-Instruct",
            "qwen2_vl",
            "qwen2-vl-7b.json",
            "in the paper; 28 decoder layers, any resolution, video",
        ),
        Alias(
            "qwen2.5-vl-3b",
            "Qwen/Qwen2.5-VL-3B-Instruct",
            "qwen2_5_vl",
            "qwen2.5-vl-3b.json",
            "36 decoder layers, any resolution, video",
        ),
        Alias(
            "qwen2.5-vl-7b",
            "Qwen/Qwen2.5-VL-7B-Instruct",
            "qwen2_5_vl",
            "qwen2.5-vl-7b.json",
            "28 decoder layers, any resolution, video",
        ),
        Alias(
            "qwen3-vl-4b",
            "Qwen/Qwen3-VL-4B-Instruct",
            "qwen3_vl",
            "qwen3-vl-4b.json",
            "36 decoder layers, any resolution, video; drops from layer 3 on",
        ),
        Alias(
            "qwen3-vl-8b",
            "Qwen/Qwen3-VL-8B-Instruct",
            "qwen3_vl",
            "qwen3-vl-8b.json",
            "36 decoder layers, any resolution, video; drops from layer 3 on",
        ),
        Alias(
            "qwen3.5-4b",
            "Qwen/Qwen3.5-4B",
            "qwen3_5",
            "qwen3.5-4b.json",
            "32 decoder layers, three of four linear; any resolution, video",
        ),
        Alias(
            "qwen3.5-9b",
            "Qwen/Qwen3.5-9B",
            "qwen3_5",
            "qwen3.5-9b.json",
            "32 decoder layers, three of four linear; any resolution, video",
        ),
        Alias(
            "qwen3.5-35b-a3b",
            "Qwen/Qwen3.5-35B-A3B",
            "qwen3_5_moe",
            "qwen3.5-35b-a3b.json",
            "40 decoder layers, three of four linear, 256 experts; video",
        ),
        Alias(
            "gemma-3-4b",
            "google/gemma-3-4b-it",
            "gemma3",
            "gemma-3-4b.json",
            "34 decoder layers, windows; 256 tokens a picture",
        ),
        Alias(
            "gemma-3-12b",
            "google/gemma-3-12b-it",
            "gemma3",
            "gemma-3-12b.json",
            "48 decoder layers, windows; 256 tokens a picture",
        ),
        Alias(
            "gemma-3-27b",
            "google/gemma-3-27b-it",
            "gemma3",
            "gemma-3-27b.json",
            "62 decoder layers, windows; 256 tokens a picture",
        ),
        Alias(
            "gemma-4-e2b",
            "google/gemma-4-E2B-it",
            "gemma4",
            "gemma-4-e2b.json",
            "35 decoder layers, 20 share keys: drops up to layer 13; video",
        ),
        Alias(
            "gemma-4-e4b",
            "google/gemma-4-E4B-it",
            "gemma4",
            "gemma-4-e4b.json",
            "42 decoder layers, 18 share keys: drops up to layer 22; video",
        ),
        Alias(
            "gemma-4-26b-a4b",
            "google/gemma-4-26B-A4B-it",
            "gemma4",
            "gemma-4-26b-a4b.json",
            "30 decoder layers, windows, 128 experts; video",
        ),
        Alias(
            "gemma-4-31b",
            "google/gemma-4-31B-it",
            "gemma4",
            "gemma-4-31b.json",
            "60 decoder layers, windows; video",
        ),
        Alias(
            "llama-4-scout",
            "meta-llama/Llama-4-Scout-17B-16E-Instruct",
            "llama4",
            "llama-4-scout.json",
            "48 decoder layers, chunks, 16 experts; tiles",
        ),
        Alias(
            "glm-4.6v-flash",
            "zai-org/GLM-4.6V-Flash",
            "glm46v",
            "glm-4.6v-flash.json",
            "40 decoder layers, any resolution, video",
        ),
        Alias(
            "kimi-k2.5",
            "moonshotai/Kimi-K2.5",
            "kimi_k25",
            "kimi-k2.5.json",
            "61 decoder layers with compressed keys, 384 experts; 2 TB of weights",
        ),
        Alias(
            "llava-onevision-7b",
            "llava-hf/llava-onevision-qwen2-7b-ov-hf",
            "llava_onevision",
            "llava-onevision-7b.json",
            "the paper's video model; tiles, several images, video",
        ),
        Alias(
            "llava-onevision-0.5b",
            "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
            "llava_onevision",
            "llava-onevision-0.5b.json",
            "24 decoder layers; tiles, several images, video",
        ),
        Alias(
            "llava-next-vicuna-7b",
            "llava-hf/llava-v1.6-vicuna-7b-hf",
            "llava_next",
            "llava-next-vicuna-7b.json",
            "LLaVA-1.6; 32 decoder layers, tiles",
        ),
        Alias(
            "llava-next-mistral-7b",
            "llava-hf/llava-v1.6-mistral-7b-hf",
            "llava_next",
            None,
            "LLaVA-1.6; 32 decoder layers, tiles",
        ),
        Alias(
            "smolvlm2-2.2b",
            "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
            "smolvlm",
            None,
            "24 decoder layers; tiles, several images, video",
        ),
        Alias(
            "llava-next-video-7b",
            "llava-hf/LLaVA-NeXT-Video-7B-hf",
            "llava_next_video",
            None,
            "32 decoder layers; tiles, video of pooled frames",
        ),
        Alias(
            "internvl3-1b",
            "OpenGVLab/InternVL3-1B-hf",
            "internvl",
            "internvl3-1b.json",
            "24 decoder layers; tiles of 256 tokens, several images, video",
        ),
        Alias(
            "internvl3-8b",
            "OpenGVLab/InternVL3-8B-hf",
            "internvl",
            "internvl3-8b.json",
            "28 decoder layers; tiles of 256 tokens, several images, video",
        ),
        Alias(
            "mistral-small-3.1-24b",
            "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
            "mistral3",
            None,
            "40 decoder layers, any resolution",
        ),
        Alias(
            "pixtral-12b",
            "mistral-community/pixtral-12b",
            "llava",
            None,
            "40 decoder layers, any resolution",
            processor="PixtralProcessor",
        ),
        Alias(
            "video-llava-7b",
            "LanguageBind/Video-LLaVA-7B-hf",
            "video_llava",
            "video-llava-7b.json",
            "32 decoder layers; images and videos of 224 pixels",
        ),
        Alias(
            "paligemma-3b",
            "google/paligemma-3b-mix-224",
            "paligemma",
            None,
            "18 decoder layers, 256 vision tokens; its prompts are commands: caption en",
            {"image": "caption en", "video": DEFAULT_PROMPTS["video"]},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from.

    Attributes:
        location: Hub id or local path.
        config: path of an architecture file shipped for dummy weights, or ``None``.
        is_local: whether ``location`` is on this machine.
        shadowed: a directory here that has the alias's name and was not meant, or ``None``.
    """

    location: str
    config: Path | None
    is_local: bool
    shadowed: Path | None = None

    @property
    def name(self) -> str:
        """How to call it in a message: the embedded model's path says nothing to anybody."""
        path = Path(self.location)
        return path.name if path.parent == ASSETS else self.location


def resolve(name: str) -> Source:
    """Find what ``--model NAME`` means: an alias, a local path or a Hub id (``org/name``).

    An alias comes first, so that a directory that happens to be here does not change what a
    command means; ``./name`` is always the directory.

    Raises:
        UnknownNameError: none of the three, with the nearest aliases.
        UsageError: a path that does not exist.
    """
    if not name.strip():
        raise UsageError("the model's name is empty", hint="v2drop models lists what can be named")
    if name in ALIASES:
        alias = ALIASES[name]
        config = ASSETS / alias.config if alias.config else None
        shadowed = Path(name) if Path(name).is_dir() else None
        return Source(alias.source or str(ASSETS / name), config, alias.source is None, shadowed)
    path = Path(name).expanduser()
    if path.exists():
        return Source(str(path), path if path.is_file() else None, True)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"no such model directory: {name}", hint=f"aliases: {', '.join(ALIASES)}")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return Source(name, None, False)
    if name in REFUSED:
        raise UnsupportedModelError(f"{name} models are not served: {REFUSED[name]}")
    error = unknown_name("model", name, ALIASES)
    error.hint = f"{error.hint}; a Hub id (org/name) or a local path works too"
    raise error


def default_prompt(model: str, kind: str) -> str:
    """What to ask ``model`` about an ``image`` or a ``video`` when nothing was asked."""
    return (ALIASES[model].prompts if model in ALIASES else DEFAULT_PROMPTS)[kind]
