"""What becomes of an error that comes out of a command."""

from __future__ import annotations

import signal

import pytest
import typer

from v2drop_cli.cli.guard import INTERRUPTED, guarded


def test_what_fails_for_an_interrupt_is_an_interrupt(capsys):
    """A library that catches everything may say that an import it was in the middle of failed."""

    @guarded
    def command():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("there is no such package") from None

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(typer.Exit) as caught:
            command()
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.exit_code == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_without_one_it_is_the_error_that_it_is(capsys):
    @guarded
    def command():
        raise ImportError("there is no such package")

    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == 1
    assert "there is no such package" in capsys.readouterr().err
