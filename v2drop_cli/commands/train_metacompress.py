"""``v2drop train-metacompress``: fit the method's weights to a model, without printing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from v2drop_cli.methods.mixing import PARTS, Mixing, fingerprint
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.training.distillation import Plan, distil, start
from v2drop_cli.training.examples import read_examples
from v2drop_cli.training.progress_file import resume

SAVE_EVERY = 50
Tell = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of it.

    Attributes:
        examples: how many there were.
        resumed_at: the step that an earlier run had come to; 0 for none.
        losses: mean loss of the first and of the last tenth of this run's steps.
    """

    examples: int
    resumed_at: int
    losses: tuple[float, float]


def train_metacompress(
    loaded: LoadedModel, data: Path, output: Path, plan: Plan, tell: Tell = lambda step, loss: None
) -> Fitted:
    """Fit, and write the weights to ``output``; ``output.state`` lets a broken run go on.

    Args:
        loaded: the model to fit to.
        data: JSONL of images and questions.
        output: where the weights go.
        plan: how to fit.
        tell: called after each step with its number and its loss.

    Raises:
        UsageError: the data cannot be read, or ``output.state`` is of another fit.
    """
    examples, state = read_examples(data), output.with_name(output.name + ".state")
    settings = {**asdict(plan), "model": fingerprint(loaded.model), "examples": len(examples)}
    del settings["steps"]  # more of them are no other fit
    reached = before = resume(state, settings) or start(loaded, plan)
    losses: list[float] = []
    for now, loss in distil(loaded, examples, plan, before):
        reached = now
        losses.append(loss)
        tell(now.step, loss)
        if now.step % SAVE_EVERY == 0:
            now.save(state, settings)
    weights = Mixing(*(reached.weights[part] for part in PARTS))
    weights.save(output, fingerprint(loaded.model))
    state.unlink(missing_ok=True)
    tenth = max(1, len(losses) // 10)
    means = (sum(part) / len(part) for part in (losses[:tenth], losses[-tenth:]) if part)
    first, last = (*means, float("nan"), float("nan"))[:2]
    return Fitted(len(examples), before.step, (first, last))
