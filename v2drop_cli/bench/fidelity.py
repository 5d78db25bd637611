"""How far an arm keeps to dense, whatever is right: led along dense's own answer.

Each arm prefills the prompt as it would, and then is given dense's tokens, not its own: all of them
in one forward, where the decoder takes them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from v2drop_cli.bench.arms import Arm
from v2drop_cli.generate.decoding import new_cache
from v2drop_cli.generate.greedy import led, next_positions, ready
from v2drop_cli.instrument.trace import DropTrace
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.records import DENSE


@dataclass(frozen=True, slots=True)
class Kept:
    """One arm along one answer.

    Attributes:
        kl: mean over the answer's tokens of ``KL(dense ‖ arm)``, in nats.
        agreement: share of the places at which the likeliest token is dense's.
        first_divergence: the first place at which it is not; ``None`` for none.
    """

    kl: float
    agreement: float
    first_divergence: int | None


class Along:
    """One prompt with dense's answer.

    Args:
        loaded: the model.
        inputs: the prompt, one row, on the host.
        answer: dense's tokens.
    """

    def __init__(self, loaded: LoadedModel, inputs: Inputs, answer: Sequence[int]) -> None:
        self._loaded, self._inputs = loaded, inputs
        self._answer = torch.tensor([answer], device=loaded.device)
        self._dense = self._logs(Arm(DENSE))

    def led(self, arm: Arm) -> Kept:
        """``arm`` along the answer."""
        return compared(self._dense, self._dense if arm.method is None else self._logs(arm))

    def _logs(self, arm: Arm) -> Tensor:
        """``[a, V]`` log-probabilities of each of the answer's tokens."""
        return logs_along(self._loaded, self._inputs, self._answer, arm)[0][0]


def logs_along(
    loaded: LoadedModel, inputs: Inputs, answers: Tensor, arm: Arm
) -> tuple[Tensor, DropTrace]:
    """``[B, a, V]`` log-probabilities of each of the answers' tokens, in float32.

    Args:
        loaded: the model.
        inputs: ``B`` prompts, on the host.
        answers: ``[B, a]`` what is given instead of the arm's own tokens.
        arm: how the prompts are prefilled.
    """
    tensors = ready(loaded, inputs)
    first = next_positions(loaded.model, inputs.tensors, loaded.family.first_position)
    with arm.applied(loaded) as trace:
        found = led(loaded.model, tensors, new_cache(loaded), answers, first.to(loaded.device))
    return found.float().log_softmax(dim=-1), trace


def compared(dense: Tensor, arm: Tensor) -> Kept:
    """Log-probabilities ``[a, V]`` of both.

    >>> same = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log()
    >>> compared(same, same)
    Kept(kl=0.0, agreement=1.0, first_divergence=None)
    >>> other = torch.tensor([[0.5, 0.5], [0.1, 0.9]]).log()
    >>> found = compared(same, other)
    >>> round(found.kl, 3), found.agreement, found.first_divergence
    (0.879, 0.5, 1)
    """
    # What dense never says costs nothing, and is no 0 · -inf.
    terms = torch.where(dense.isneginf(), 0.0, dense.exp() * (dense - arm))
    agrees = dense.argmax(dim=-1) == arm.argmax(dim=-1)
    apart = (~agrees).nonzero()
    return Kept(
        kl=float(terms.sum(dim=-1).mean()),
        agreement=float(agrees.float().mean()),
        first_divergence=int(apart[0]) if len(apart) else None,
    )
