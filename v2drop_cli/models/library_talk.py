"""What libraries say while they work: collected, and told to the reader of an answer.

transformers logs a warning where a tensor is made up, a tokenizer is known to be wrong or an
option is ignored. Printed raw, such lines drown in progress bars; silenced, they are lost. Here
they become caveats of the report, but for a short list of those that change no answer.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from v2drop_cli.records import Caveat, CaveatKind

# Roots of the loggers listened to. Code that comes with a Hub model logs under the last.
_LOGGERS = ("transformers", "huggingface_hub", "transformers_modules")

# These tell of the future or of Python itself, not of this answer.
_OTHER_TIMES = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ImportWarning,
    ResourceWarning,
)

# Known to change no answer: (pattern, why).
_HARMLESS: tuple[tuple[str, str], ...] = (
    (r"LOAD REPORT", "weights.py tells all of it, and refuses what is missing"),
    (r"unauthenticated requests to the HF Hub", "is about the speed of a download"),
    (
        r"`torch_dtype` is deprecated|is deprecated\. Register the correct mapping",
        "is about a name that transformers will spell otherwise",
    ),
    (r"Token indices sequence length is longer", "context.py says it, with the model's limit"),
    (r"generation flags are not valid", "generation.py sets all of them anew"),
    (r"Passing `generation_config` together with", "only max_new_tokens is passed beside it"),
    (
        r"Unrecognized keys in `rope_parameters`.*\{'mrope_section'\}",
        "M-RoPE reads it all the same",
    ),
    (
        r"`standardize_rope_params` was called but no RoPE parameters were found",
        "is about an empty configuration, which transformers makes to compare another with",
    ),
    (r"[Ff]alling back to \S*([Pp]il|PIL)", "PIL resizes as these processors were made to"),
)
_HARMLESS_TEXT = re.compile("|".join(pattern for pattern, _ in _HARMLESS))

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 300


class Talk(logging.Handler):
    """Collects what is said, each thing once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: dict[str, None] = {}
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a log record."""
        self.add(record.name.partition(".")[0], record.getMessage())

    def add(self, who: str, text: str) -> None:
        """Take a text; colours, line breaks and what is known to be harmless are left out."""
        plain = _ANSI.sub("", text)
        self.texts.append(plain)
        if not _HARMLESS_TEXT.search(plain):
            line = f"{who}: {' '.join(plain.split())}"
            self._said[line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"] = None

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """One caveat each, in the order of speaking."""
        return tuple(CaveatKind.LIBRARY_WARNING.caveat(said=line) for line in self._said)


@contextmanager
def listening() -> Iterator[Talk]:
    """Collect warnings instead of letting them be printed; afterwards all is as before.

    What libraries print goes to stderr, because stdout is for data alone.
    """
    talk = Talk()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        recorded = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        for name in _loggers():
            stack.enter_context(_handled_by(logging.getLogger(name), talk))
        yield talk
        for warning in recorded:
            if not issubclass(warning.category, _OTHER_TIMES):
                talk.add(_package(warning.filename), str(warning.message))


def _loggers() -> tuple[str, ...]:
    """Their names, once the libraries have set them up: doing so later would undo this."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.get_verbosity()
    untyped: Any = hub_logging
    untyped.get_verbosity()
    # What is said once a process is meant once a model.
    transformers_logging.warning_once.cache_clear()
    return _LOGGERS


@contextmanager
def _handled_by(logger: logging.Logger, talk: Talk) -> Iterator[None]:
    before = (logger.handlers, logger.level, logger.propagate)
    logger.handlers, logger.propagate = [talk], False
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[0], before[2]
        logger.setLevel(before[1])


def _package(path: str) -> str:
    """The package that a file belongs to.

    >>> _package("/usr/lib/python3/site-packages/transformers/generation/utils.py")
    'transformers'
    """
    parts = re.split(r"[\\/]", path)
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return parts[-1].removesuffix(".py")
