"""The text half of a CLIP checkpoint, loaded for a method that relates questions to patches.

Safetensors only, and no code of the checkpoint's own. It is kept on the host for the next context,
so that a benchmark reads the files once; a copy on a GPU lives as long as the context that uses it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import ModelError, UsageError, V2DropError

_HINT = (
    "text= takes the directory of a CLIP checkpoint with config.json, safetensors and its "
    "tokenizer, such as the one that the model's vision tower was taken from"
)


@dataclass(frozen=True, eq=False, slots=True)
class ClipParts:
    """What is needed of a CLIP whose vision tower the model has already run.

    Attributes:
        tokenizer: CLIP's.
        modules: by name, ``text_model``, ``text_projection``, ``post_layernorm`` of the vision
            tower and ``visual_projection``.
        segment: token ids that the text tower reads at once.
        patch_width: channels of the vision tower's patches.
    """

    tokenizer: Any
    modules: Any
    segment: int
    patch_width: int

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        found: torch.device = self.modules.text_projection.weight.device
        return found

    def to(self, device: torch.device) -> ClipParts:
        """The same on ``device``."""
        if self.device == device:
            return self
        return replace(self, modules=copy.deepcopy(self.modules).to(device))

    def projected(self, patches: Tensor) -> Tensor:
        """``[n, D]`` of the vision tower's patches ``[n, patch_width]``, where texts are."""
        patches = patches.to(self.device)
        found: Tensor = self.modules.visual_projection(self.modules.post_layernorm(patches))
        return found

    def embedded(self, question: str) -> Tensor:
        """``[segments, D]`` what CLIP makes of a question, cut into segments of its own length.

        The last segment is filled up with id 0 and masked there, as CDPruner's authors do.
        """
        ids: list[int] = self.tokenizer(question)["input_ids"]
        missing = -len(ids) % self.segment
        mask = [1] * len(ids) + [0] * missing
        device = self.device
        pooled = self.modules.text_model(
            input_ids=torch.tensor(ids + [0] * missing, device=device).view(-1, self.segment),
            attention_mask=torch.tensor(mask, device=device).view(-1, self.segment),
        ).pooler_output
        embeddings: Tensor = self.modules.text_projection(pooled)
        return embeddings


def check_clip_name(checkpoint: str) -> None:
    """Refuse what is neither a directory nor a name on the Hub, before anything is loaded.

    Raises:
        UsageError: it is neither.
    """
    if Path(checkpoint).expanduser().is_dir() or re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", checkpoint):
        return
    raise UsageError(f"no such directory: {checkpoint}", hint=_HINT)


def clip_parts(checkpoint: str) -> ClipParts:
    """The parts of a CLIP in a directory, or on the Hub, in float32 on the host.

    The last one is kept, by where it is and what is there: a directory goes by several names, a
    name may be another directory's tomorrow, and files may be fitted anew.

    Raises:
        ModelError: it is no CLIP, lacks weights, or cannot be loaded.
    """
    path = Path(checkpoint).expanduser()
    if not path.is_dir():
        return _loaded(checkpoint, ())
    return _loaded(str(path.resolve()), _stamp(path))


def _stamp(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when a file of ``folder`` is written anew."""
    found = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    return tuple((name, at.st_ino, at.st_size, at.st_mtime_ns) for name, at in found)


@lru_cache(maxsize=1)
def _loaded(checkpoint: str, stamp: tuple[tuple[str, int, int, int], ...]) -> ClipParts:
    """The parts of what is at ``checkpoint`` while it has this ``stamp``."""
    from transformers import AutoConfig, AutoTokenizer, CLIPModel

    try:
        with _no_progress_bars():
            config = AutoConfig.from_pretrained(checkpoint)
            if config.model_type != "clip":
                raise ModelError(f"{checkpoint} is a {config.model_type}, no CLIP", hint=_HINT)
            loaded: Any = CLIPModel.from_pretrained(
                checkpoint, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    except V2DropError:
        raise
    except Exception as error:  # of three libraries, each with errors of its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"cannot load the CLIP in {checkpoint}: {reason}", hint=_HINT) from error
    clip, report = loaded
    if report["missing_keys"]:
        raise ModelError(
            f"the CLIP in {checkpoint} lacks weights: {min(report['missing_keys'])} and others",
            hint=_HINT,
        )
    modules = torch.nn.Module()
    modules.text_model, modules.text_projection = clip.text_model, clip.text_projection
    modules.post_layernorm = clip.vision_model.post_layernorm
    modules.visual_projection = clip.visual_projection
    modules.eval().requires_grad_(False)
    return ClipParts(
        tokenizer,
        modules,
        segment=config.text_config.max_position_embeddings,
        patch_width=config.vision_config.hidden_size,
    )


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Without transformers' bars; afterwards as before."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
