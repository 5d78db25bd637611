"""``v2drop`` and ``python -m v2drop_cli``."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    try:
        from v2drop_cli.cli import app
    except KeyboardInterrupt:  # while starting, before any command can say so
        raise SystemExit(130) from None

    app(prog_name="v2drop")


if __name__ == "__main__":
    main()
