"""``v2drop train-metacompress``."""

from __future__ import annotations

from collections.abc import Callable

from v2drop_cli.cli.groups.model_options import ModelOptions
from v2drop_cli.cli.groups.training_options import TrainingData, TrainingOptions, TrainingOutput
from v2drop_cli.cli.interrupts import check
from v2drop_cli.cli.quiet import load_quietly
from v2drop_cli.cli.signature import command
from v2drop_cli.cli.talk import say

_SAY_EVERY = 50


@command
def train_metacompress(
    given: TrainingData, model: ModelOptions, training: TrainingOptions, output: TrainingOutput
) -> None:
    """Fit metacompress, a learned method, to a model, by distillation on images and questions.

    A run that was broken off goes on where FILE.state says. Use the weights as
    --method metacompress:weights=FILE. Needs accelerate: pip install accelerate.

    \b
    v2drop train-metacompress questions.jsonl --keep 10% --output mixtures.safetensors
    v2drop train-metacompress questions.jsonl --model llava-1.5-7b --steps 20000
    """
    from v2drop_cli.commands.train_metacompress import train_metacompress as fit
    from v2drop_cli.training.examples import read_examples

    plan = training.plan()
    read_examples(given.data)  # a line that is wrong is told before a model is loaded
    loaded = load_quietly(model.model, model.load_options(training.seed))
    fitted = fit(loaded, given.data, output.output, plan, _telling(plan.steps))
    first, last = fitted.losses
    since = f" from step {fitted.resumed_at} on" if fitted.resumed_at else ""
    print(f"{output.output}: {fitted.examples} examples, {plan.steps} steps{since}")
    print(f"mean loss of the first tenth of the steps {first:.4f}, of the last {last:.4f}")


def _telling(steps: int) -> Callable[[int, float], None]:
    def tell(step: int, loss: float) -> None:
        check()
        if step % _SAY_EVERY == 0 or step == steps:
            say(f"step {step} of {steps}: loss {loss:.4f}")

    return tell
