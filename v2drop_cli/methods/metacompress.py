"""MetaCompress: learned mixtures in the place of the vision tokens (arXiv 2603.21701)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import InstrumentError, UsageError
from v2drop_cli.methods.base import (
    HIDDEN,
    DropContext,
    Kept,
    Method,
)
from v2drop_cli.methods.before_decoder import BeforeDecoder, refuse_later
from v2drop_cli.methods.mixing import Mixing, fingerprint, load, middles
from v2drop_cli.schedule import Drop, Schedule

_TINY_ONLY = "metacompress is learned, and has weights for tiny only"
_HOW_TO_FIT = (
    "v2drop train-metacompress DATA --model MODEL --output FILE fits them; then name "
    "metacompress:weights=FILE"
)
# Fitted to the embedded model by `v2drop train-metacompress`.
SHIPPED = Path(__file__).parent / "assets" / "metacompress-tiny.safetensors"


@dataclass(frozen=True)
class MetaCompress(BeforeDecoder):
    """``X_out = P · X``: each output token is a learned mixture of all n projected tokens.

    ``P = rowsoftmax(X_q · diag(β) · X_kᵀ / √d)``, ``X_q = AvgPool(X + E) · W_q`` and
    ``X_k = (X + E) · W_k``: the mixture is found from the picture alone, whatever the question.
    ``W_q``, ``W_k`` and ``β`` are learned for one model by distillation, see ``v2drop
    train-metacompress``; ``weights`` is the file it wrote. Without it there are only weights for
    the embedded model ``tiny``, which ship with this package.

    Written after the paper, there is no code. Not published, so our setting: the pooling (runs of
    tokens in sequence order, all pictures of a row together), the places ``E`` (sinusoids), the
    channels d. In the trace an output token has the position of the middle of its run; it takes in
    every token, so no sources are told.

    Cost: two products of n tokens with D·d weights, and k·n products of d channels.
    """

    name = "metacompress"
    paper = "arXiv 2603.21701"
    needs = frozenset({HIDDEN})
    usual = Drop(0, keep=0.1)  # the paper's reduction by 90 %
    weights: str = ""

    def __post_init__(self) -> None:
        """Refuse a file that is not there, before a model is loaded for it."""
        if self.weights and not Path(self.weights).is_file():
            raise UsageError(
                f"there are no weights of metacompress in {self.weights}",
                hint="v2drop train-metacompress DATA --model MODEL --output FILE writes them",
            )

    def check(self, schedule: Schedule) -> None:
        """Refuse drops inside the decoder, which the weights are not fitted to.

        Raises:
            ScheduleError: there is one.
        """
        super().check(schedule)
        refuse_later(self, schedule, "it was fitted to the decoder's input")

    def attach(self, model: Any, processor: Any) -> Method:
        """The same with its weights loaded.

        Raises:
            UsageError: there are none for this model.
            ModelError: the file cannot be read.
        """
        self.check_model(model.config)
        mixing, fitted_to = self._read()
        if not self.weights and fitted_to != fingerprint(model):
            raise UsageError(_TINY_ONLY, hint=_HOW_TO_FIT)
        return Compressing(mixing, positions=self.positions)

    def check_model(self, config: Any) -> None:
        """Refuse a model whose hidden states are not as wide as those that were fitted to.

        Raises:
            UsageError: they are not.
            ModelError: the file of weights cannot be read.
        """
        mixing, _ = self._read()
        width = config.get_text_config().hidden_size
        if len(mixing.query) == width:
            return
        if not self.weights:
            raise UsageError(_TINY_ONLY, hint=_HOW_TO_FIT)
        raise UsageError(
            f"the weights in {self.weights} are for hidden states of {len(mixing.query)}, and "
            f"this model's have {width}",
            hint=_HOW_TO_FIT,
        )

    def _read(self) -> tuple[Mixing, str]:
        """The weights, and the fingerprint of the model that they were fitted to."""
        return _read(Path(self.weights or SHIPPED))

    def select(self, ctx: DropContext) -> Kept:
        """Only what :meth:`attach` returns can choose.

        Raises:
            InstrumentError: always.
        """
        raise InstrumentError("metacompress has no weights before it is attached to a model")


@dataclass(frozen=True)
class Compressing(Method):
    """MetaCompress with its weights: what :meth:`MetaCompress.attach` returns.

    Attributes:
        mixing: the weights, where they were read.
    """

    name = MetaCompress.name
    paper = MetaCompress.paper
    needs = MetaCompress.needs
    mixing: Mixing
    # One is made for each context, so copies on a device live as long as that.
    _copies: dict[torch.device, Mixing] = field(default_factory=dict, compare=False, repr=False)

    def select(self, ctx: DropContext) -> Kept:
        """``n_keep`` mixtures, each in the place of the middle token of its run."""
        states = ctx.signals.hidden()
        mixture = self.mixture(states, ctx.n_keep)
        return Kept(middles(len(states), ctx.n_keep, states.device), mixture @ states.float())

    def mixture(self, states: Tensor, count: int) -> Tensor:
        """``P [count, n]`` for states ``[n, D]``."""
        return self._on(states.device)(states, count)

    def _on(self, device: torch.device) -> Mixing:
        """The weights on ``device``: copied at the first prefill that needs them there.

        Weights that are being learned change between prefills, and are never kept as a copy.
        """
        if self.mixing.query.requires_grad:
            return self.mixing.to(device)
        if device not in self._copies:
            self._copies[device] = self.mixing.to(device)
        return self._copies[device]


def _read(path: Path) -> tuple[Mixing, str]:
    """What is in the file now: one that was fitted again has a new stamp, and is read again."""
    try:
        found = path.stat()
    except OSError:
        return load(path)  # which says what is wrong
    return _loaded(path.resolve(), (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=4)
def _loaded(path: Path, stamp: tuple[int, ...]) -> tuple[Mixing, str]:
    return load(path)
