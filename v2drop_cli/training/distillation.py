"""Fitting MetaCompress: the model with mixtures learns to say what it says without them.

Loss (arXiv 2603.21701): ``KL(dense ‖ compressed)`` over the tokens of the dense answer, plus the
mean entropy of the mixture's rows, plus its largest column sum: mixtures are to be sharp, and no
token is to be in all of them. Gradients are clipped to a norm of 1e-2, without which, the paper
says, training collapses. The weight of each term, the optimiser and its rate are not published:
ours are 1, AdamW and 1e-3.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from v2drop_cli.errors import UsageError
from v2drop_cli.instrument.dropping import dropping
from v2drop_cli.media import load_image
from v2drop_cli.methods.metacompress import Compressing
from v2drop_cli.methods.mixing import PARTS, Mixing
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.schedule import Drop, Schedule
from v2drop_cli.training.examples import Example
from v2drop_cli.training.progress_file import Progress

CLIP_NORM = 1e-2


@dataclass(frozen=True, slots=True)
class Plan:
    """How to fit.

    Attributes:
        keep: share of a prompt's vision tokens that the mixtures are.
        steps: examples seen, one a step.
        channels: d of the mixture.
        rate: learning rate.
        answer_tokens: of each dense answer, at most.
        seed: of the first weights and of the order of examples.
    """

    keep: float = 0.1
    steps: int = 1000
    channels: int = 64
    rate: float = 1e-3
    answer_tokens: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Learning(Compressing):
    """The method in training: remembers its mixtures, on which the loss puts a price."""

    mixtures: list[Tensor] = field(default_factory=list)

    def mixture(self, states: Tensor, count: int) -> Tensor:
        """``P [count, n]``, remembered."""
        found = super().mixture(states, count)
        self.mixtures.append(found)
        return found


def start(loaded: LoadedModel, plan: Plan) -> Progress:
    """Before the first step."""
    width = loaded.model.config.get_text_config().hidden_size
    fresh = Mixing.fresh(width, plan.channels, plan.seed)
    return Progress(0, {part: getattr(fresh, part) for part in PARTS})


def distil(
    loaded: LoadedModel, examples: Sequence[Example], plan: Plan, progress: Progress
) -> Iterator[tuple[Progress, float]]:
    """Yield the state after each step, and the step's loss.

    Args:
        loaded: the model; its own weights are left as they are.
        examples: what to ask it.
        plan: how.
        progress: where to go on.

    Raises:
        UsageError: accelerate is not installed.
    """
    accelerator = _accelerator(loaded)
    weights = {
        part: progress.weights[part].to(loaded.device).requires_grad_(True) for part in PARTS
    }
    optimizer = torch.optim.AdamW(weights.values(), lr=plan.rate, weight_decay=0.0)
    progress.restore(optimizer)
    optimizer = accelerator.prepare(optimizer)
    method = Learning(Mixing(**weights))
    with frozen(loaded.model):
        for step in range(progress.step, plan.steps):
            loss = _loss(loaded, order(examples, plan.seed, step), plan, method)
            optimizer.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(list(weights.values()), CLIP_NORM)
            optimizer.step()
            yield Progress.of(step + 1, weights, optimizer), float(loss.detach())


def order(examples: Sequence[Example], seed: int, step: int) -> Example:
    """The example of ``step``: all of them in an order of its own each time round."""
    round_of, place = divmod(step, len(examples))
    shuffled = list(range(len(examples)))
    random.Random(f"{seed} {round_of}").shuffle(shuffled)
    return examples[shuffled[place]]


def _loss(loaded: LoadedModel, example: Example, plan: Plan, method: Learning) -> Tensor:
    inputs = loaded.prepare([load_image(example.image)], example.question)
    tensors = inputs.to(loaded.device, loaded.dtype).tensors
    length, n_vision = tensors["input_ids"].shape[1], inputs.vision.counts[0]
    with torch.no_grad():
        ids = loaded.model.generate(**tensors, max_new_tokens=plan.answer_tokens, do_sample=False)
        answered = continued(tensors, ids[:, length:])
        dense = loaded.model(**answered).logits[0, length - 1 : -1]
    method.mixtures.clear()
    schedule = Schedule((Drop(0, count=max(1, int(plan.keep * n_vision))),))
    with dropping(loaded, schedule, method=method):
        compressed = loaded.model(**answered).logits[0, length - 1 : -1]
    [mixture] = method.mixtures
    return divergence(dense, compressed) + price(mixture)


def continued(tensors: Mapping[str, Tensor], answer: Tensor) -> dict[str, Tensor]:
    """The prompt's tensors with ``answer [1, a]`` behind it; what marks tokens marks it as text."""
    length = tensors["input_ids"].shape[1]
    longer = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.shape == (1, length):
            more = torch.ones_like(answer) if name == "attention_mask" else torch.zeros_like(answer)
            more = answer if name == "input_ids" else more
            longer[name] = torch.cat([tensor, more.to(tensor)], dim=1)
    return longer


def divergence(dense: Tensor, compressed: Tensor) -> Tensor:
    """0-d: mean over tokens of ``KL(dense ‖ compressed)`` of logits ``[a, V]``."""
    p, q = (logits.float().log_softmax(dim=-1) for logits in (dense, compressed))
    found: Tensor = (p.exp() * (p - q)).sum(dim=-1).mean()
    return found


def price(mixture: Tensor) -> Tensor:
    """0-d: mean entropy of the rows of ``P [k, n]``, and its largest column sum.

    >>> price(torch.eye(3)).item()
    1.0
    """
    # Bounded, because the slope of the entropy at a share that rounded to 0 is infinite.
    logs = mixture.clamp_min(torch.finfo(mixture.dtype).tiny).log()
    entropy: Tensor = -(mixture * logs).sum(dim=1).mean()
    return entropy + mixture.sum(dim=0).amax()


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """No gradients for the model's own weights, and afterwards as it was before."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    for weight in trained:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)


def _accelerator(loaded: LoadedModel) -> Any:
    try:
        from accelerate import Accelerator
    except ImportError:
        hint = "pip install accelerate"
        raise UsageError("fitting needs accelerate", hint=hint) from None
    return Accelerator(cpu=loaded.device.type == "cpu")
