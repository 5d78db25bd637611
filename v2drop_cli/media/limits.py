"""How large a picture may be, and how a larger one is refused."""

from __future__ import annotations

from pathlib import Path

from v2drop_cli.errors import MediaError

MAX_PIXELS = 178_956_970
"""Largest picture or video frame decoded, width x height: Pillow's own line for a bomb."""


def too_large(file: Path, size: str) -> MediaError:
    """Word the refusal of a picture or frame above ``MAX_PIXELS``."""
    return MediaError(
        f"{file} is too large to decode: {size}",
        hint=f"scale it down; the limit is {MAX_PIXELS // 1_000_000} million pixels a picture",
    )
