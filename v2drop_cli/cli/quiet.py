"""Libraries that stay quiet while a model is loaded and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v2drop_cli.models.base import LoadedModel
    from v2drop_cli.models.loading_options import LoadOptions


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
