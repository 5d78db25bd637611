"""Write the golden help texts and docs/cli.md: python -m tests.cli.regenerate."""

from __future__ import annotations

from tests.cli.test_start import GOLDEN, HELPED, start

PAGE = GOLDEN.parents[1] / "docs" / "cli.md"


def main() -> None:
    parts = ["# Command line\n\nMade by `python -m tests.cli.regenerate` from the help.\n"]
    for command in HELPED:
        shown = start("-m", "v2drop_cli", *command.split(), "--help").stdout
        (GOLDEN / f"help_{command or 'v2drop'}.txt").write_text(shown, encoding="utf-8")
        parts.append(f"## v2drop {command}".rstrip() + f"\n\n```text\n{shown}```\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
