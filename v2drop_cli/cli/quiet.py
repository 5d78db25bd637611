"""Libraries that stay quiet while a model is loaded and answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v2drop_cli.bench.arms import ArmOptions
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions


def load_for(
    arms: ArmOptions, kinds: frozenset[str], model: str, load_options: LoadOptions
) -> LoadedModel:
    """:func:`load_quietly`, after asking whether the methods of ``arms`` can do anything with it.

    Raises:
        V2DropError: one can do nothing with media of these ``kinds``, or with a model of such a
            configuration. No weights have been read then.
    """
    arms.check_media(kinds)
    return load_quietly(model, replace(load_options, accepts=arms.check_model))


def load_quietly(model: str, load_options: LoadOptions) -> LoadedModel:
    """Load, and keep the libraries quiet afterwards.

    What they warn of while a model is loaded and answers comes with the report, as caveats; on
    stderr it would come again in every timed round.
    """
    from v2drop_cli.models.loading import load

    hush_libraries()
    return load(model, load_options)


def hush_libraries() -> None:
    """No log lines and progress bars of transformers and the Hub from here on."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    silence: Any = hub_logging.set_verbosity_error  # untyped in huggingface_hub
    silence()
