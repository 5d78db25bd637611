"""Defaults of options from a file: ``--config FILE``, or ``[tool.v2drop]`` in ./pyproject.toml.

A key is the long name of an option. Keys at the top are for every command that has the option; a
table with the name of a command is for that command, and wins over them. What is typed wins over
both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from v2drop_cli.cli.output import tell
from v2drop_cli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from v2drop_cli.cli.signature import Declared

PYPROJECT = "pyproject.toml"
_UNSET = ("help", "debug", "config", "no_config")
"""Options that a file has no say in: they are about this one call."""
_WORDS = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command.

    Attributes:
        command: its name.
        typed: the options that stand on the command line.
        known: of every command, the names of its options.
    """

    command: str
    typed: frozenset[str]
    known: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, context: typer.Context) -> Invocation:
        """What Typer knows of the call."""
        name = context.info_name or ""
        commands = getattr(context.find_root().command, "commands", {name: context.command})
        known = {
            each: frozenset(
                option.name
                for option in command.params
                if option.param_type_name == "option" and option.name not in _UNSET
            )
            for each, command in commands.items()
        }
        sources = {each: context.get_parameter_source(each) for each in context.params}
        typed = {each for each, source in sources.items() if source and source.name != "DEFAULT"}
        return cls(name, frozenset(typed), known)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The tables of a file.

    Attributes:
        path: of the file, as it was named.
        common: its keys for every command.
        tables: its keys for one command, by the command's name.
        chosen: whether the user named it; else it lay in the current directory, and whoever put
            it there must not make v2drop run their code.
    """

    path: Path
    common: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]
    chosen: bool

    def check(self, known: Mapping[str, frozenset[str]]) -> None:
        """Refuse what no command understands, also where it is about another command.

        Raises:
            UnknownNameError: a key that is no option, with the nearest ones.
            UsageError: a table that is none.
        """
        every = frozenset().union(*known.values())
        self._check_keys("", self.common, every | known.keys())
        for command, table in self.tables.items():
            if not isinstance(table, dict):
                raise UsageError(f"{self.path}: {command} is no table", hint=f"write [{command}]")
            self._check_keys(f" [{command}]", table, known[command])

    def _check_keys(self, where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
        seen: dict[str, str] = {}
        for key in table:
            name = _name(key)
            if name not in known:
                names = sorted(each.replace("_", "-") for each in known)
                raise unknown_name(f"key in {self.path}{where}:", key, names)
            if name in seen:
                raise UsageError(
                    f"{self.path}{where}: {seen[name]} and {key} are one option",
                    hint="leave one of them out",
                )
            seen[name] = key

    def values(self, command: str) -> dict[str, tuple[str, Any]]:
        """What the file says to a command: the key as it is written and its value, by option."""
        merged = [*self.common.items(), *self.tables.get(command, {}).items()]
        return {_name(key): (key, value) for key, value in merged}


def find(named: Path | None, nothing: bool, commands: Sequence[str]) -> ConfigFile | None:
    """The file to take defaults from, if there is one.

    Args:
        named: ``--config``.
        nothing: ``--no-config``.
        commands: names that are tables of their own.

    Raises:
        UsageError: both were asked for, or the file cannot be read.
    """
    if nothing and named is not None:
        raise UsageError("--config and --no-config together", hint="give one or the other")
    path = named or Path(PYPROJECT)
    if nothing or (named is None and not path.is_file()):
        return None
    content = _read(path, chosen=named is not None)
    if path.name == PYPROJECT or "tool" in content:
        tools = content.get("tool")
        content = tools.get("v2drop") if isinstance(tools, dict) else None
        if content is None and named is None:
            return None
        if not isinstance(content, dict):
            raise UsageError(f"{path} has no table [tool.v2drop]", hint="add it")
    tables = {key: table for key, table in content.items() if key in commands}
    common = {key: value for key, value in content.items() if key not in commands}
    return ConfigFile(path, common, tables, chosen=named is not None)


def _read(path: Path, chosen: bool) -> Any:
    import tomllib

    hint = "check its name and its permissions" if chosen else "or leave it aside: --no-config"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", hint=hint) from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise UsageError(
            f"{path} is not TOML: {error}", hint=None if chosen else f"mend it, {hint}"
        ) from None


def defaults(
    config: ConfigFile, invocation: Invocation, options: Sequence[Declared]
) -> dict[str, Any]:
    """The values that the file gives to options that were not typed; says so on stderr.

    Raises:
        UsageError: a value of the wrong kind, or one that lets code of others run.
    """
    config.check(invocation.known)
    given = config.values(invocation.command)
    rivals = {
        each.looks.rivals for each in options if each.looks.rivals and each.name in invocation.typed
    }
    found, keys = {}, []
    for each in options:
        if each.name not in given or each.name in invocation.typed or each.looks.rivals in rivals:
            continue
        key, value = given[each.name]
        found[each.name] = _value(config, key, value, each)
        keys.append(key)
    if config.chosen or keys:
        tell(f"options from {config.path}: {', '.join(keys) or 'none of this command'}")
    return found


def _value(config: ConfigFile, key: str, value: Any, option: Declared) -> Any:
    """``value`` as Typer would hand it over."""
    if option.looks.runs_code and value is True and not config.chosen:
        raise UsageError(
            f"{config.path} was not named, and may not say {key}: that lets code of others run",
            hint=f"type {option.looks.flag}, or --config {config.path} to say that you trust it",
        )
    where = f"{config.path}: {key}"
    if not option.repeatable:
        return _one(where, value, option)
    return [_one(where, each, option) for each in (value if isinstance(value, list) else [value])]


def _one(where: str, value: Any, option: Declared) -> Any:
    """``value`` as the option's kind; a number may stand for text, as in ``budget = 192``."""
    if not _fits(option.kind, value):
        words = _WORDS.get(option.kind, "text")
        several = f"{words}, or a list of such" if option.repeatable else words
        raise UsageError(f"{where} is {value!r}, not {several}", hint=_example(option))
    least, most = option.looks.within
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise UsageError(f"{where} is {value!r}", hint=f"{option.looks.flag} is {bounds}")
    return str(value) if option.kind is Path else option.kind(value)


def _fits(kind: type, value: Any) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if isinstance(value, int):
        return kind is not Path
    if isinstance(value, float):
        return kind in (float, str)
    return kind in (str, Path) and isinstance(value, str)


def _example(option: Declared) -> str:
    flag = option.looks.flag
    return f"{flag} is on or off" if option.kind is bool else f"{flag} {option.looks.metavar}"


def _name(key: str) -> str:
    """``fail-if`` → ``fail_if``, as the field is called."""
    return key.replace("-", "_")
