"""The command line. One file per command; commands are imported when they run.

Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

from typing import Annotated

import typer

from v2drop_cli.cli.compare import compare
from v2drop_cli.cli.doctor import doctor
from v2drop_cli.cli.evaluate import evaluate
from v2drop_cli.cli.models import models
from v2drop_cli.cli.profile import profile
from v2drop_cli.cli.run import run
from v2drop_cli.cli.sweep import sweep
from v2drop_cli.cli.train_metacompress import train_metacompress
from v2drop_cli.cli.tune import tune
from v2drop_cli.cli.viz import viz
from v2drop_cli.version import __version__

app = typer.Typer(
    name="v2drop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"v2drop {__version__}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Time vision-language models with and without vision token dropping.

    V2Drop (arXiv 2509.01552) removes, inside the language model, the vision tokens whose hidden
    state changed least. No training, no attention weights.
    """


app.command()(run)
app.command()(profile)
app.command()(sweep)
app.command()(compare)
app.command("eval")(evaluate)
app.command()(tune)
app.command()(viz)
app.command()(models)
app.command()(doctor)
app.command("train-metacompress")(train_metacompress)
