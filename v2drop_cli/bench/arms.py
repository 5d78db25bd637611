"""Arms: the ways of running the model that are compared, and how options name them.

No torch until an arm is applied: what was typed is checked before seconds of imports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import ScheduleError, UsageError, unknown_name
from v2drop_cli.methods.parameters import written
from v2drop_cli.methods.registry import ALL, check_method, get_method, known_methods
from v2drop_cli.methods.shape import Shape
from v2drop_cli.records import DENSE
from v2drop_cli.schedule import (
    PRESETS,
    REFERENCE_LAYERS,
    Schedule,
    parse_share,
)
from v2drop_cli.schedule_file import schedule_of

if TYPE_CHECKING:
    from v2drop_cli.instrument.trace import DropTrace
    from v2drop_cli.methods.base import Method
    from v2drop_cli.models.base import LoadedModel


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """Schedules as typed, before a model and a prompt are known. Each entry makes one schedule.

    Attributes:
        schedules: text forms (``--schedule``), or files that hold one (``@FILE``).
        layers: ``--layers 3,17``; goes with ``ratios`` or ``budgets``.
        ratios: ``--ratios 0.5,0.25``; without layers, the preset's first ones.
        presets: ``--preset paper-128``.
        budgets: ``--budget 192`` or ``--budget 33%``: layer-average vision tokens.
    """

    schedules: tuple[str, ...] = ()
    layers: str | None = None
    ratios: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise for what is wrong whatever the model, before one is loaded."""
        for text in self.schedules:
            schedule_of(text)
        for name in self.presets:
            if name not in PRESETS:
                raise unknown_name("preset", name, PRESETS)
        for text in self.budgets:
            budget_tokens(text, n_vision=1)
        layers = None if self.layers is None else _layers(self.layers)
        if layers is not None and not (self.ratios or self.budgets):
            raise UsageError(
                "--layers says where, not how much",
                hint="add --ratios (one per layer) or --budget",
            )
        for text in self.ratios:
            keeps = _keeps(text)
            Schedule.from_lists(layers or range(1, len(keeps) + 1), keeps)

    def resolve(self, shape: Shape, method: Method) -> Iterator[Asked]:
        """Yield what was asked for, in order, for a model and a prompt.

        What names no layers is the method's own: a budget alone, and nothing at all.
        """
        layers = None if self.layers is None else _layers(self.layers)
        usual = shape.scaled(REFERENCE_LAYERS)
        for text in self.schedules:
            yield Asked(schedule_of(text))
        for text in self.ratios:
            keeps = _items(text, "--ratios")
            if layers is None and len(keeps) > len(usual):
                raise ScheduleError(
                    f"{len(keeps)} ratios, but presets drop at {len(usual)} layers only",
                    hint="say where with --layers, one per ratio",
                )
            yield Asked(Schedule.from_lists(layers or usual[: len(keeps)], keeps))
        for name in self.presets:
            yield Asked(shape.preset(name))
        for text in self.budgets:
            where = "" if layers is None else f" at {','.join(map(str, layers))}"
            name = f"{_budget_name(text)}{where}"
            budget = Budget(budget_tokens(text, shape.n_vision or 0), layers, name)
            yield Asked(budget.schedule(method, shape), budget)
        if not (self.schedules or self.ratios or self.presets or self.budgets):
            yield Asked(method.schedule(None, shape))


@dataclass(frozen=True, slots=True)
class Budget:
    """A layer average that one prompt's arm is to have.

    Attributes:
        tokens: vision tokens that a layer holds on average.
        layers: where to drop, if the user said so; else the method says where.
        name: how it was asked for, the same for every prompt: ``33%``, ``192 at 2,5``.
    """

    tokens: float
    layers: tuple[int, ...] | None = None
    name: str = ""

    def schedule(self, method: Method, shape: Shape) -> Schedule:
        """The drops of ``method`` that meet it.

        Raises:
            ScheduleError: none do.
        """
        if self.layers is None:
            return method.schedule(self.tokens, shape)
        return shape.solved_at(self.tokens, self.layers)


@dataclass(frozen=True, slots=True)
class Asked:
    """One schedule that was asked for, resolved for a prompt.

    Attributes:
        schedule: where to drop and how much.
        budget: what it was made for; ``None`` for what is no budget.
    """

    schedule: Schedule
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of running the model.

    Attributes:
        label: column head; ``dense`` is the reference.
        method: in text form (``name``, ``name:key=value``), or ``None`` for dense.
        schedule: where and how much, or ``None`` for dense.
        seed: for methods that draw at random.
        budget: what the schedule was made for, if it was made for a budget.
        solved: what prefills are to find, or found, for the budget: names of the method's
            parameters, or ``schedule``.
        power: how far prefills moved these, see :func:`v2drop_cli.bench.budgets.meet_budget`.
    """

    label: str
    method: str | None = None
    schedule: Schedule | None = None
    seed: int = 0
    budget: Budget | None = None
    solved: tuple[str, ...] = ()
    power: float = field(default=0.0, compare=False)

    def applied(
        self, loaded: LoadedModel, mark: Callable[[str], None] | None = None
    ) -> AbstractContextManager[DropTrace]:
        """The context in which ``loaded`` runs this way; ``mark`` as in ``dropping``."""
        from v2drop_cli.instrument.dropping import dropping
        from v2drop_cli.instrument.trace import DropTrace

        if self.method is None or self.schedule is None:
            return nullcontext(DropTrace())
        return dropping(loaded, self.schedule, method=self.method, seed=self.seed, mark=mark)


@dataclass(frozen=True, slots=True)
class ArmOptions:
    """Which arms to run beside the dense one."""

    schedules: ScheduleOptions = field(default_factory=ScheduleOptions)
    methods: tuple[str, ...] = ("v2drop",)
    seed: int = 0

    def check(self) -> None:
        """Raise for unknown methods and unreadable schedules, before a model is loaded."""
        for name in self.methods:
            if name != ALL:
                check_method(name)
                if self.schedules.budgets:
                    _refuse_thresholds(name)
        self.schedules.check()

    def check_media(self, kinds: frozenset[str]) -> None:
        """Raise for methods named by hand that can do nothing with an ``image``, or a ``video``.

        Raises:
            V2DropError: the first one's reason.
        """
        for name in self.methods:
            if name != ALL:
                get_method(name).check_media(kinds)

    def check_model(self, config: Any) -> None:
        """Raise for methods named by hand that such a model cannot serve, before it is loaded.

        Raises:
            V2DropError: the first one's reason.
        """
        from v2drop_cli.instrument.numbering import cannot_renumber, keeps_numbers
        from v2drop_cli.instrument.tower import tower_of
        from v2drop_cli.methods.base import RENUMBERED, TOWER
        from v2drop_cli.models.registry import family_for

        family, axes = family_for(config, allow_unproven=True), keeps_numbers(config)
        for method in (get_method(name) for name in self.methods if name != ALL):
            if TOWER in method.needs:
                tower_of(family, config, method)
            if axes is not None and any(part.positions == RENUMBERED for part in method.parts):
                raise cannot_renumber(method, axes)
            method.check_model(config)

    def of(self, method: Method, loaded: LoadedModel, n_vision: int) -> list[Arm]:
        """One method at every schedule, for one prompt of ``n_vision`` tokens.

        Raises:
            ScheduleError: a schedule does not fit the model, the prompt or the method.
        """
        shape = Shape.of(loaded.family, loaded.n_layers, loaded.droppable, n_vision)
        arms = []
        for asked in self.schedules.resolve(shape, method):
            loaded.check(asked.schedule)
            method.check(asked.schedule)
            text = label(method, asked.schedule, shape, asked.budget)
            arms.append(Arm(text, written(method), asked.schedule, self.seed, asked.budget))
        return arms

    def resolve(self, loaded: LoadedModel, n_vision: int) -> list[Arm]:
        """Dense, then every method at every schedule, for one prompt of ``n_vision`` tokens.

        Labels do not depend on what else is asked for, nor on the prompt (see :func:`label`), so
        that one set of options serves many prompts. Of methods asked for by :data:`ALL`, those
        that the model supports are picked by :func:`v2drop_cli.bench.line_up.line_up`; here all
        must fit.
        """
        names = [
            name for text in self.methods for name in (known_methods() if text == ALL else [text])
        ]
        return in_order([self.of(get_method(name), loaded, n_vision) for name in names])


def in_order(by_method: Sequence[Sequence[Arm]]) -> list[Arm]:
    """Dense, then schedule by schedule the arms of each method; those of one label are one."""
    arms = [Arm(DENSE)]
    for number in range(max(map(len, by_method), default=0)):
        for same_method in by_method:
            if all(arm.label != same_method[number].label for arm in arms):
                arms.append(same_method[number])
    return arms


def label(method: Method, schedule: Schedule, shape: Shape, budget: Budget | None = None) -> str:
    """What an arm is called: a function of its method, parameters and schedule alone.

    The method's text form; behind it the schedule, unless it is the one that the method brings
    itself: by the name of a preset where there is one of it, else in its text form. A budget comes
    to another schedule with each prompt, and stays a budget by name.
    """
    text = written(method)
    if budget is not None:
        return f"{text} budget {budget.name}"
    if schedule == method.schedule(None, shape):
        return text
    presets = (name for name in shape.presets if shape.preset(name) == schedule)
    return f"{text} {next(presets, schedule)}"


def _items(text: str, option: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ScheduleError(f"{option} {text!r} has an empty entry", hint="for example 0.5,0.25")
    return items


def _keeps(text: str) -> list[str]:
    keeps = _items(text, "--ratios")
    for keep in keeps:
        try:
            Schedule.from_lists((1,), (keep,))
        except ScheduleError as error:
            hint = "one per drop: a share or a count, for example 0.5,25%,64t"
            raise ScheduleError(f"--ratios {text!r}: {error.message}", hint=hint) from None
    return keeps


def _layers(text: str) -> tuple[int, ...]:
    items = _items(text, "--layers")
    try:
        return tuple(int(item) for item in items)
    except ValueError:
        raise ScheduleError(
            f"--layers {text!r} are no layer numbers", hint="for example 3,17"
        ) from None


def _refuse_thresholds(text: str) -> None:
    """Raise for a method whose thresholds are given where a budget is to find them."""
    if ":" not in text:  # its class, and so torch, is not imported for a bare name
        return
    for part in get_method(text).parts:
        given = [name for name in part.thresholds if getattr(part, name) != _default(part, name)]
        if given:
            raise UsageError(
                f"{text} gives {' and '.join(given)}, and a budget finds them",
                hint="leave out one of the two",
            )


def _default(method: Method, name: str) -> object:
    return next(field.default for field in fields(method) if field.name == name)


def _budget_name(text: str) -> str:
    """The same for ``33%`` and ``33.0%``, for ``192`` and ``192.0``."""
    sign = "%" if text.endswith("%") else ""
    return f"{float(text.removesuffix(sign)):.12g}{sign}"


def budget_tokens(text: str, n_vision: int) -> float:
    """``192``, or ``33%`` of ``n_vision``, in tokens.

    Raises:
        ScheduleError: it is neither.
    """
    what = "share" if text.endswith("%") else "number"
    try:
        found = parse_share(text) * n_vision if what == "share" else float(text)
        if math.isfinite(found):
            return found
        raise ScheduleError(f"{text!r} is not finite")
    except (ValueError, ScheduleError):
        raise ScheduleError(
            f"--budget {text!r} is no {what} of the vision tokens", hint="for example 192 or 33%"
        ) from None
