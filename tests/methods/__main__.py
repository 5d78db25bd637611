"""Write docs/methods.md from the methods themselves: python -m tests.methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from v2drop_cli.errors import V2DropError
from v2drop_cli.methods.base import Method
from v2drop_cli.methods.parameters import parameters_of
from v2drop_cli.methods.registry import METHODS, get_method
from v2drop_cli.methods.shape import Shape

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
# LLaVA-1.5-7B, which most of the published schedules are written for.
SHAPE = Shape(n_layers=32, n_vision=576)
HEAD = """# Methods

Made by `python -m tests.methods` from the methods' own documentation; a test compares it. Every
method runs in the same instrument, at the same attention kernels, and is timed by the same clock.
`--method NAME:KEY=VALUE,KEY=VALUE` sets parameters, in `dropping(…, method=…)` too. A layer in a
schedule is the one whose *input* is shorter; `0:` is a drop before the decoder. "Own schedule" is
what a method does where nobody names one, here for 32 layers and 576 vision tokens.
How to add one: [adding-a-method.md](adding-a-method.md).
"""


def page() -> str:
    """The whole document."""
    methods = [get_method(name) for name in METHODS]
    parts = [HEAD, *table(methods), *(section(method) for method in methods)]
    return "\n".join(parts).rstrip() + "\n"


def table(methods: list[Method]) -> Iterator[str]:
    """One row a method."""
    yield "| method | own schedule | survivors' positions | parameters and defaults | looks at |"
    yield "| --- | --- | --- | --- | --- |"
    for method in methods:
        values = parameters_of(method)
        positions = values.pop("positions")
        written = ", ".join(f"`{key}={_text(value)}`" for key, value in values.items())
        needs = ", ".join(sorted(method.needs)).replace("_", " ")
        link = f"[`{method.name}`](#{method.name})"
        cells = (link, _own(method), positions, written or "–", needs or "–")
        yield f"| {' | '.join(map(str, cells))} |"
    yield ""


def section(method: Method) -> str:
    """A method's own words, as Markdown."""
    words = inspect.getdoc(type(method)) or ""
    return f"## {method.name}\n\nFrom: {method.paper}\n\n{words.replace('``', '`')}\n"


def _own(method: Method) -> str:
    try:
        return f"`{method.schedule(None, SHAPE)}`"
    except V2DropError as error:
        return error.message


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "(none)"


def documented(method: Method) -> bool:
    """Whether a method has words of its own, and names all its parameters in them."""
    words = type(method).__dict__.get("__doc__") or ""
    own = [field.name for field in fields(method) if not field.kw_only]
    return all(name in words for name in own)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
