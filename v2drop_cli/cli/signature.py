"""Options are declared once, as fields of dataclasses; a command takes those dataclasses.

``@command`` reads the groups in a command's annotations, gives Typer a signature with one
parameter for each of their fields, and calls the command with the groups filled in. A new option
is a field in one file of ``groups/``, and the place that uses it.
"""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from v2drop_cli.cli.called import CALLED, TYPED
from v2drop_cli.cli.config_file import Invocation, defaults, find
from v2drop_cli.cli.followers import following
from v2drop_cli.cli.guard import guarded
from v2drop_cli.errors import UsageError

MEDIA, DROPPING, MODEL, MEASURING, OUTPUT = (
    "Media and prompt",
    "Dropping",
    "Model",
    "Measuring",
    "Output",
)
"""The headings under which the help lists options."""
_KEY = "option"


@dataclass(frozen=True, slots=True)
class Looks:
    """How one option reads on the command line.

    Attributes:
        flag: ``--frames``; ``None`` for an argument, which has a place instead of a name.
        help: what the help says of it.
        panel: the heading under which the help lists it.
        metavar: what stands for its value in the help.
        within: the least and the greatest number that is taken; ``None`` for no bound.
        rivals: options with the same word here exclude each other: one that is typed puts the
            others of a config file aside.
        runs_code: whether it lets code of others run; a file that nobody named cannot ask for it.
    """

    flag: str | None
    help: str
    panel: str | None = None
    metavar: str | None = None
    within: tuple[float | None, float | None] = (None, None)
    rivals: str | None = None
    runs_code: bool = False

    @property
    def for_typer(self) -> Any:
        """The same as Typer calls it."""
        if self.flag is None:
            return typer.Argument(metavar=self.metavar, help=self.help)
        return typer.Option(
            self.flag,
            metavar=self.metavar,
            help=self.help,
            min=self.within[0],
            max=self.within[1],
            rich_help_panel=self.panel,
        )


def option(default: Any, looks: Looks) -> Any:
    """A field of a group that is an option. ``()`` as default makes it repeatable."""
    return field(default=default, metadata={_KEY: looks})


def argument(metavar: str, words: str, default: Any = dataclasses.MISSING) -> Any:
    """A field of a group that is given by its place; it must be, unless there is a default.

    Args:
        metavar: what stands for it in the help.
        words: what the help says of it.
        default: the group's, where it may be left out.
    """
    return field(default=default, metadata={_KEY: Looks(None, words, metavar=metavar)})


def again(group: type, name: str, **changes: Any) -> Any:
    """The option of another group once more, where commands differ in its default or its words.

    Args:
        group: where the option is declared.
        name: its field there.
        changes: ``default``, or attributes of :class:`Looks`.
    """
    first = group.__dataclass_fields__[name]  # type: ignore[attr-defined]  # all dataclasses have it
    default = changes.pop("default", first.default)
    return option(default, dataclasses.replace(first.metadata[_KEY], **changes))


@dataclass(frozen=True, slots=True)
class CommonOptions:
    """What every command takes."""

    config: Path | None = option(
        None,
        Looks(
            "--config",
            "Defaults of options, a TOML file [default: tool.v2drop in ./pyproject.toml].",
            OUTPUT,
            "FILE",
        ),
    )
    no_config: bool = option(False, Looks("--no-config", "Not even ./pyproject.toml.", OUTPUT))
    debug: bool = option(False, Looks("--debug", "Show tracebacks.", OUTPUT))


@dataclass(frozen=True, slots=True)
class Declared:
    """One field of a group, read.

    Attributes:
        name: of the field.
        kind: the type of one value.
        repeatable: whether the option may be given several times; the group then has a tuple.
        default: the group's; ``dataclasses.MISSING`` where a value has to be given.
        looks: how the option reads.
    """

    name: str
    kind: type
    repeatable: bool
    default: Any
    looks: Looks

    @property
    def parameter(self) -> inspect.Parameter:
        """What Typer is told.

        Where a group has a tuple, Typer takes a list, and ``None`` for an empty one. The path of
        an option is text to Typer, which would make ``.`` of an empty one.
        """
        given: Any = str if self.kind is Path and self.looks.flag else self.kind
        default = self.untyped
        if default is dataclasses.MISSING:
            default = inspect.Parameter.empty
        given = list[given] if self.repeatable else given
        return inspect.Parameter(
            self.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[given | None if default is None else given, self.looks.for_typer],
        )

    @property
    def untyped(self) -> Any:
        """What Typer hands over where nobody typed it."""
        return None if self.repeatable else self.default

    def value(self, typed: Any) -> Any:
        """What the group gets for what Typer hands over.

        Raises:
            UsageError: an empty text where a file is to be named.
        """
        if self.repeatable:
            return tuple(self._one(each) for each in typed or ())
        return None if typed is None else self._one(typed)

    def _one(self, typed: Any) -> Any:
        if self.kind is not Path:
            return typed
        if typed == "":
            raise UsageError(f"{self.looks.flag} names no file: it is empty", hint="name a file")
        return Path(typed)


def declared(group: type) -> Iterator[Declared]:
    """The fields of ``group``, in the order of the help."""
    hints = get_type_hints(group)
    for each in dataclasses.fields(group):
        hint = hints[each.name]
        repeatable = get_origin(hint) is tuple
        kinds = [kind for kind in get_args(hint) or (hint,) if kind not in (NoneType, ...)]
        yield Declared(each.name, kinds[0], repeatable, each.default, each.metadata[_KEY])


def command(function: Callable[..., None]) -> Callable[..., None]:
    """What Typer runs for ``function``, whose parameters are groups of options."""
    hints = get_type_hints(function)
    groups = {name: hints[name] for name in inspect.signature(function).parameters}
    fields = [each for group in (*groups.values(), CommonOptions) for each in declared(group)]

    def shell(context: typer.Context, **typed: Any) -> None:
        common = _filled(CommonOptions, typed)
        calling = Invocation.of(context)
        filed: dict[str, Any] = {}
        config = find(common.config, common.no_config, tuple(calling.known))
        if config is not None:
            filed = defaults(config, calling, fields)
            typed |= filed
        given = {name: typed[name] for name in (*calling.typed, *filed) if name in typed}
        CALLED.set(_line(calling.command, given, fields))
        TYPED.set(calling.typed)
        quiet = {each.name: each.untyped for each in fields if each.looks.panel == OUTPUT}
        with following(typed, quiet):
            function(**{name: _filled(group, typed) for name, group in groups.items()})

    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        setattr(shell, name, getattr(function, name))
    own = inspect.signature(shell).parameters["context"].replace(annotation=typer.Context)
    parameters = [own, *(each.parameter for each in fields)]
    shell.__annotations__ = {each.name: each.annotation for each in parameters}
    shell.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # for Typer
    return guarded(shell)


def _line(name: str, given: dict[str, Any], fields: Iterable[Declared]) -> str:
    """A command line, for ``given`` options by name."""
    words = ["v2drop", name]
    for each in fields:
        values = given.get(each.name, ()) if each.repeatable else (given.get(each.name),)
        for value in values or ():
            if value is None or value is False:
                continue
            words += [] if each.looks.flag is None else [each.looks.flag]
            words += [] if value is True else [str(value)]
    return shlex.join(words)


def _filled(group: type, typed: dict[str, Any]) -> Any:
    """``group`` with what was typed, or stands in a config file, for its fields."""
    return group(**{each.name: each.value(typed[each.name]) for each in declared(group)})
