"""Groups of options become a signature, and what was typed becomes groups."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from v2drop_cli.cli.signature import OUTPUT, Looks, again, argument, command, declared, option


@dataclass(frozen=True, slots=True)
class Files:
    source: Path = argument("SOURCE", "What to read.")
    spare: str | None = argument("[SPARE]", "What else.", default=None)
    target: Path | None = option(None, Looks("--target", "Where to.", OUTPUT, "FILE"))
    more: tuple[Path, ...] = option((), Looks("--more", "Others.", OUTPUT, "FILE"))


@dataclass(frozen=True, slots=True)
class Numbers:
    count: int = option(3, Looks("--count", "How many.", OUTPUT, "N", within=(1, 9)))
    share: tuple[str, ...] = option((), Looks("--share", "Of what.", OUTPUT, "S"))
    quick: bool = option(False, Looks("--quick", "Or not.", OUTPUT))


@dataclass(frozen=True, slots=True)
class OtherNumbers(Numbers):
    count: int = again(Numbers, "count", default=5, help="How many of the others.")


@pytest.fixture
def typed():
    """What the groups hold after some arguments were typed."""
    seen = []

    def act(files: Files, numbers: OtherNumbers) -> None:
        """Say what."""
        seen.append((files, numbers))

    act.__annotations__ = {"files": Files, "numbers": OtherNumbers, "return": None}
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command(act))

    def call(*args):
        seen.clear()
        done = CliRunner().invoke(app, list(args))
        return (*seen[0], done) if seen else (None, None, done)

    return call


def test_nothing_typed_gives_the_defaults(typed):
    files, numbers, _ = typed("a.json")
    assert files == Files(Path("a.json"), None, None, ())
    assert numbers == OtherNumbers(count=5, share=(), quick=False)


def test_what_is_typed_arrives_in_its_group(typed):
    files, numbers, _ = typed(
        "a", "b", "--target", "t", "--more", "x", "--more", "y",
        "--count", "9", "--share", "1", "--share", "2", "--quick",
    )  # fmt: skip
    assert files == Files(Path("a"), "b", Path("t"), (Path("x"), Path("y")))
    assert numbers == OtherNumbers(9, ("1", "2"), True)


@pytest.mark.parametrize("flag", ["--target", "--more"])
def test_an_empty_path_is_not_the_current_directory(typed, flag):
    *groups, done = typed("a", flag, "")
    assert groups == [None, None]
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {flag} names no file")


def test_bounds_are_typers_own(typed):
    for wrong in ("0", "10", "x"):
        *_, done = typed("a", "--count", wrong)
        assert done.exit_code == 2
        assert "--count" in done.stderr


def test_the_help_says_what_the_fields_say(typed):
    shown = " ".join(typed("--help")[2].stdout.split())
    for said in (
        "SOURCE", "What to read. [required]", "--count N How many of the others.",
        "[default: 5; 1<=x<=9]", "--target FILE Where to.", "--debug", "Say what.",
    ):  # fmt: skip
        assert said in shown, said


def test_an_option_again_keeps_what_is_not_changed():
    first, second = (
        {each.name: each for each in declared(group)} for group in (Numbers, OtherNumbers)
    )
    assert list(first) == list(second) == [each.name for each in fields(Numbers)]
    changed = second["count"]
    assert (changed.default, changed.looks.help) == (5, "How many of the others.")
    assert (changed.looks.flag, changed.looks.within) == ("--count", (1, 9))
    assert first["count"].default == 3
