"""``v2drop`` and ``python -m v2drop_cli``."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line."""
    if sys.flags.optimize > 1:
        _refuse()
    try:
        from v2drop_cli.cli import app
    except KeyboardInterrupt:  # while starting, before any command can say so
        raise SystemExit(130) from None

    try:
        app(prog_name="v2drop")
    finally:
        # The process ends: nobody needs a last walk over all of torch's objects, over a second.
        gc.freeze()


def _refuse() -> NoReturn:
    from v2drop_cli.errors import without_docstrings

    error = without_docstrings()
    print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
    raise SystemExit(error.exit_code)


if __name__ == "__main__":
    main()
