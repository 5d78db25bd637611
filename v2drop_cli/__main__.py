"""``v2drop`` and ``python -m v2drop_cli``."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from v2drop_cli.cli import app

    app(prog_name="v2drop")


if __name__ == "__main__":
    main()
