"""The arms of one prompt: those asked for, of ``--method all`` those that can run, budgets met."""

from __future__ import annotations

from dataclasses import replace

from v2drop_cli.bench.arms import Arm, ArmOptions, in_order
from v2drop_cli.bench.budgets import budget_caveats, meet_budget, takes_trying
from v2drop_cli.bench.passes import Passes
from v2drop_cli.bench.watch import Phase, Progress, Watch
from v2drop_cli.errors import (
    InstrumentError,
    ModelError,
    PlugInError,
    UsageError,
    V2DropError,
)
from v2drop_cli.methods.base import ORIGINAL, Method
from v2drop_cli.methods.registry import ALL, get_method, known_methods
from v2drop_cli.models.vocabulary import unknown_words
from v2drop_cli.records import Caveat, CaveatKind

# What a method says that cannot serve this model or this prompt. Anything else, such as a device
# that runs out of memory, is no matter of the method, and ends the command.
REFUSALS = (UsageError, ModelError, InstrumentError, PlugInError)


def line_up(options: ArmOptions, passes: Passes, watch: Watch) -> list[Arm]:
    """Dense, then every method at every schedule; what there is to say of them goes to ``passes``.

    Raises:
        ScheduleError: a schedule does not fit the model, the prompt or a method named by hand.
        V2DropError: of all methods none can run: the first one's reason.
    """
    for caveat in unknown_words(passes.loaded, passes.subject.prompt):
        passes.note(caveat)
        watch.tell(caveat.message)
    asked, arms = _asked(options, passes, watch), []
    for number, arm in enumerate(asked):
        if takes_trying(arm):
            watch.check()
            watch.on_progress(Progress(Phase.BUDGETS, number, len(asked), what=arm.label))
        arms.append(meet_budget(arm, passes))
        passes.note(*budget_caveats(arm, arms[-1], passes))
    return arms


def _asked(options: ArmOptions, passes: Passes, watch: Watch) -> list[Arm]:
    """The arms before budgets are met."""
    loaded, n_vision = passes.loaded, passes.vision_tokens
    if ALL not in options.methods:
        return options.resolve(loaded, n_vision)
    by_method: list[list[Arm]] = []
    for text in options.methods:
        if text == ALL:
            by_method.extend(_supported(options, passes, watch))
        else:
            by_method.append(options.of(get_method(text), loaded, n_vision))
    return in_order(by_method)


def _supported(options: ArmOptions, passes: Passes, watch: Watch) -> list[list[Arm]]:
    """The arms of each registered method that this model and prompt support."""
    found, refused, names = [], [], known_methods()
    for number, name in enumerate(names):
        watch.check()
        watch.on_progress(Progress(Phase.METHODS, number, len(names), what=name))
        try:
            arms, said = _tried(name, options, passes)
        except REFUSALS as error:
            refused.append(error)
            arms, said = [], [CaveatKind.METHOD_LEFT_OUT.caveat(method=name, reason=error.message)]
        found.extend([arms] if arms else [])
        passes.note(*said)
        for caveat in said:
            watch.tell(caveat.message)
    if not found:
        raise refused[0]
    return found


def _tried(name: str, options: ArmOptions, passes: Passes) -> tuple[list[Arm], list[Caveat]]:
    """The arms of one method after a prefill of each, and what was changed to make them run.

    Raises:
        V2DropError: the method refuses the model or the prompt.
    """
    method = get_method(name)
    try:
        return _prefilled(method, options, passes), []
    except (UsageError, ModelError, InstrumentError) as error:
        if method.positions == ORIGINAL:
            raise
        # The other way for models whose positions cannot be renumbered. Whatever else is wrong
        # is wrong again.
        original = replace(method, positions=ORIGINAL)
        try:
            arms = _prefilled(original, options, passes)
        except V2DropError:
            raise error from None
        return arms, [CaveatKind.POSITIONS_KEPT.caveat(method=name, reason=error.message)]


def _prefilled(method: Method, options: ArmOptions, passes: Passes) -> list[Arm]:
    arms = options.of(method, passes.loaded, passes.vision_tokens)
    for arm in arms:
        passes.prefill(arm)
    return arms
