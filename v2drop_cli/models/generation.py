"""Answers are greedy, whatever a checkpoint's generation_config.json asks for.

``model.generate`` takes every setting it is not given from that file: stop strings, beams,
penalties, an assistant. The timed loop (:mod:`v2drop_cli.generate.greedy`) knows none of them,
so an answer made with them would be another one than the one that was timed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import ModelError
from v2drop_cli.models.load_errors import first_line
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from v2drop_cli.models.base import LoadedModel

# How models say that a processor is not theirs: in features for placeholders, or in pixels.
_MISFIT = re.compile(r"features .*do not match|[Ii]mage size .*doesn't match model", re.DOTALL)

# The ids that say where an answer starts and ends: they are the model's, not a way of decoding.
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")

# Settings that mean nothing to a greedy answer of a given length: how to sample, how to go about
# beams or an assistant that are not there, what to return beside tokens, where the file is from.
_IDLE = frozenset(
    (
        *("do_sample", "temperature", "top_k", "top_p", "top_h", "min_p", "typical_p"),
        *("epsilon_cutoff", "eta_cutoff", "renormalize_logits", "remove_invalid_values"),
        *("max_length", "max_new_tokens", "transformers_version"),
        *("early_stopping", "length_penalty", "diversity_penalty", "num_beam_groups"),
        *("assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind"),
        *("num_assistant_tokens", "num_assistant_tokens_schedule", "max_matching_ngram_size"),
        *("is_assistant", "output_scores", "output_logits", "output_attentions"),
        *("output_hidden_states", "disable_compile", "cache_config", "max_cache_len"),
        *("decoder_start_token_id", "continuous_batching_config", "compile_config"),
    )
)
# Values with which a setting does nothing; what is false, empty or 0 does nothing either.
_NEUTRAL: dict[str, Any] = {
    "use_cache": True,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "guidance_scale": 1.0,
}


def answer_settings(model: Any, max_new_tokens: int) -> Any:
    """A GenerationConfig for one greedy answer of ``model``: its own token ids and nothing else.

    Raises:
        ModelError: one of those is no number.
    """
    from transformers import GenerationConfig

    ids = {name: getattr(model.generation_config, name, None) for name in _TOKENS}
    for name, value in ids.items():
        each = value if isinstance(value, list) else [value]
        if not all(isinstance(one, int | None) for one in each):
            raise ModelError(
                f"{name} {value!r} in the generation settings of this model is no token id",
                hint="write it as a number in its generation_config.json",
            )
    if ids["pad_token_id"] is None:  # generate would do the same, and warn
        end = ids["eos_token_id"]
        ids["pad_token_id"] = end[0] if isinstance(end, list) else end
    return GenerationConfig(**ids, do_sample=False, max_new_tokens=max_new_tokens)


def complete_end(model: Any) -> None:
    """Where a loaded checkpoint's generation_config.json names no end, take its decoder's."""
    if model.generation_config.eos_token_id is None:
        end = getattr(model.config.get_text_config(), "eos_token_id", None)
        model.generation_config.eos_token_id = end


@contextmanager
def answering(loaded: LoadedModel, max_new_tokens: int) -> Iterator[Any]:
    """The settings of one greedy answer, which stand in for the model's own meanwhile.

    A GenerationConfig given to ``generate`` is filled up from the model's own wherever it says
    nothing, so it is not enough to give one.

    Raises:
        ModelError: the processor made pictures or placed tokens that this model does not take.
    """
    model = loaded.model
    settings, own = answer_settings(model, max_new_tokens), model.generation_config
    model.generation_config = settings
    try:
        yield settings
    except (RuntimeError, ValueError) as error:
        if _MISFIT.search(str(error)):
            raise ModelError(
                f"the processor of {loaded.source} does not fit its model: {first_line(error)}",
                hint="its preprocessor files are of another model or version: fetch them again",
            ) from error
        raise
    finally:
        model.generation_config = own


def refused_settings(location: str, revision: str | None) -> dict[str, Any] | None:
    """What a generation_config.json holds that transformers will not load a model with.

    It checks how settings go together (two answers of a greedy model, say) once all weights are
    read, and gives up. ``None`` where it does not mind.
    """
    from transformers import GenerationConfig
    from transformers.utils.hub import cached_file

    try:
        GenerationConfig.from_pretrained(location, revision=revision or "main")
    except OSError:  # there is none, or it is not JSON: transformers does without
        return None
    except (ValueError, TypeError, AttributeError):
        path = cached_file(location, "generation_config.json", revision=revision)
        values: Any = json.loads(Path(str(path)).read_text(encoding="utf-8"))
        return values if isinstance(values, dict) else {}
    return None


def set_aside(model: Any) -> tuple[Caveat, ...]:
    """Which settings of the model's generation_config.json its answers do without."""
    names = [name for name, value in _settings(model).items() if not _does_nothing(name, value)]
    if not names:
        return ()
    return (CaveatKind.GENERATION_CONFIG_SET_ASIDE.caveat(names=", ".join(sorted(names))),)


def _settings(model: Any) -> dict[str, Any]:
    """Those that transformers knows: other keys of the file are for somebody else."""
    from transformers import GenerationConfig

    known = vars(GenerationConfig())
    own = getattr(model, "generation_config", None)
    named = {name: getattr(own, name, None) for name in known if not name.startswith("_")}
    return {n: value for n, value in named.items() if n not in _TOKENS and n not in _IDLE}


def _does_nothing(name: str, value: Any) -> bool:
    if value is None:
        return True
    if name in _NEUTRAL:
        return bool(value == _NEUTRAL[name])
    return not value
