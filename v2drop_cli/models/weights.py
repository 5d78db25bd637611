"""Trained weights, and whether all of them were really there.

transformers fills in what a checkpoint lacks with random numbers, and logs it. A random projector
answers fluently and wrongly, so here that is an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from v2drop_cli.errors import ModelError
from v2drop_cli.models.generation import complete_end, refused_settings
from v2drop_cli.models.splitting import loading_arguments
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from v2drop_cli.models.loading_options import LoadOptions
    from v2drop_cli.models.names import Source

_SHOWN = 3
# What tools wrap a model in before they save it: (prefix of every tensor's name, the way back).
_WRAPPERS = (
    ("base_model.model.", "peft's wrapper was saved: call merge_and_unload() before saving"),
    ("_orig_mod.", "a compiled model was saved: save its _orig_mod"),
    ("module.", "a DataParallel wrapper was saved: save its module"),
    ("_fsdp_wrapped_module.", "an FSDP wrapper was saved: gather the full state before saving"),
)
# An adapter's own tensors beside the model's.
_ADAPTER = re.compile(r"\.(lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|base_layer)\b")
# Buffers that older releases saved and that are computed today; transformers knows most of them.
_COMPUTED = re.compile(r"(^|\.)(inv_freq|original_inv_freq|position_ids|num_batches_tracked)$")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What transformers found when it held a checkpoint against the architecture.

    Attributes:
        missing: names that the model has and the checkpoint has not.
        unexpected: the reverse.
        reshaped: name, shape in the checkpoint, shape in the model.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @staticmethod
    def of(info: dict[str, Any]) -> LoadReport:
        """From the dictionary that ``output_loading_info`` gives; tied weights are not in it."""
        return LoadReport(
            _names(info["missing_keys"]),
            _names(info["unexpected_keys"]),
            tuple(sorted((name, tuple(a), tuple(b)) for name, a, b in info["mismatched_keys"])),
        )

    def check(self, location: str) -> tuple[Caveat, ...]:
        """What the reader must know of weights that are all there.

        Raises:
            ModelError: a tensor of the model was not loaded.
        """
        if self.reshaped:
            name, theirs, ours = self.reshaped[0]
            more = f" and {len(self.reshaped) - 1} more" if len(self.reshaped) > 1 else ""
            raise ModelError(
                f"{location} does not fit its config.json: {name} is {_shape(theirs)} there and "
                f"{_shape(ours)} in the model{more}",
                hint="they are of two models or versions, or a part is missing: fetch both again",
            )
        if self.missing:
            raise ModelError(f"{location} is incomplete: {self._lacks()}", hint=self._way_back())
        return self._leftovers(location)

    def _lacks(self) -> str:
        parts = [f"no weights for {listed(self.missing)}"]
        if self.unexpected:
            parts.append(f"unknown are {listed(self.unexpected)}")
        return "; ".join(parts)

    def _way_back(self) -> str:
        for prefix, way in _WRAPPERS:
            if any(name.startswith(prefix) for name in self.unexpected):
                return way
        if any(_ADAPTER.search(name) for name in self.unexpected):
            return _WRAPPERS[0][1]
        if self.unexpected:
            return (
                "the tensors carry other names than this architecture's: convert the checkpoint "
                "with the script it was made for, or save it with save_pretrained"
            )
        return "they would be random: fetch the checkpoint again, every file of it"

    def _leftovers(self, location: str) -> tuple[Caveat, ...]:
        if not self.unexpected:
            return ()
        tensors = listed(self.unexpected)
        return (CaveatKind.UNUSED_WEIGHTS.caveat(location=location, tensors=tensors),)


_CLASSIFIER = "shieldgemma2"
# What transformers lists among the language models, although it reads pictures.
_LANGUAGE_MODELS = frozenset({"phi4_multimodal"})


def _loader(model_type: str) -> Any:
    """What loads a checkpoint: the class that its tensors are named after."""
    import transformers

    if model_type == _CLASSIFIER:  # saved by a class that classifies, around the model
        return transformers.ShieldGemma2ForImageClassification
    return auto_class(model_type)


def auto_class(model_type: str) -> Any:
    """The class of transformers that makes a model of this type from its configuration."""
    import transformers

    if model_type in _LANGUAGE_MODELS:
        return transformers.AutoModelForCausalLM
    return transformers.AutoModelForImageTextToText


def load_trained(
    source: Source, dtype: torch.dtype, options: LoadOptions, model_type: str = ""
) -> tuple[Any, tuple[Caveat, ...]]:
    """The model with all its weights, and what must be known of them.

    Args:
        source: where it is.
        dtype: of its weights.
        options: how it is loaded.
        model_type: as its configuration says.

    Raises:
        ModelError: some are missing or of another shape.
    """
    from transformers import GenerationConfig

    settings = refused_settings(source.location, options.revision)
    loader = _loader(model_type)
    model, info = loader.from_pretrained(
        source.location,
        dtype=dtype,
        attn_implementation=options.attn_implementation,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        use_safetensors=None if options.allow_pickle else True,
        output_loading_info=True,
        # Left to itself transformers raises without the shapes, which are what helps.
        ignore_mismatched_sizes=True,
        generation_config=None if settings is None else GenerationConfig(),
        **loading_arguments(options),
    )
    if model_type == _CLASSIFIER:
        model = model.model  # which answers; the whole one only looks at Yes and No
    for name, value in (settings or {}).items():
        setattr(model.generation_config, name, value)
    complete_end(model)
    return model, LoadReport.of(info).check(source.name)


def listed(names: Collection[str]) -> str:
    """The first names and how many there are.

    >>> listed(["a", "b", "c", "d", "e"])
    '5 tensors (a, b, c …)'
    """
    shown = ", ".join(list(names)[:_SHOWN])
    more = " …" if len(names) > _SHOWN else ""
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''} ({shown}{more})"


def _names(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted((key for key in keys if not _COMPUTED.search(key)), key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    """So that layer 2 comes before layer 10."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
