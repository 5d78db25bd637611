"""Write the tables of names in docs/library.md from the package: python -m tests.library."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import v2drop_cli as v2drop

PAGE = Path(__file__).parents[1] / "docs" / "library.md"


def first_sentence(found: object) -> str:
    """The first line of a docstring, for a table."""
    line = (inspect.getdoc(found) or "").splitlines()[0]
    return re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", line).replace("``", "`")


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def names() -> str:
    """Functions first, then types."""
    found = [getattr(v2drop, name) for name in v2drop.__all__ if name != "__version__"]
    others = [item for item in found if not is_error(item)]
    ordered = sorted(others, key=lambda item: (inspect.isclass(item), item.__name__.lower()))
    return table(
        ["name", "what it is"], [[f"`{item.__name__}`", first_sentence(item)] for item in ordered]
    )


def errors() -> str:
    """The base first, then as the tree has them."""
    rows = []
    waiting = [v2drop.V2DropError]
    while waiting:
        kind = waiting.pop(0)
        base = "" if kind is v2drop.V2DropError else f"`{kind.__base__.__name__}`"
        rows.append([f"`{kind.__name__}`", base, str(kind.exit_code), first_sentence(kind)])
        known = [getattr(v2drop, name) for name in v2drop.__all__ if name != "__version__"]
        waiting = [item for item in known if is_error(item) and item.__base__ is kind] + waiting
    return table(["error", "is a", "exit code", "what it says"], rows)


def is_error(item: object) -> bool:
    return inspect.isclass(item) and issubclass(item, v2drop.V2DropError)


def filled(page: str) -> str:
    """The page with both tables as the package has them."""
    for part, text in (("names", names()), ("errors", errors())):
        pattern = rf"(<!-- {part}:begin -->\n).*?(<!-- {part}:end -->)"
        page, found = re.subn(pattern, lambda m, t=text: m[1] + t + m[2], page, flags=re.DOTALL)
        assert found == 1, f"{PAGE.name} has no place for {part}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
