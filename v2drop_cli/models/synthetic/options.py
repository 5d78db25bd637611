"""What to look at when there is nothing to look at: sizes and counts, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2drop_cli.errors import MediaArgumentError

TEXT_TOKENS = 64
_MOST_PIXELS = 178_956_970  # as for real pictures: see v2drop_cli.media


@dataclass(frozen=True, slots=True)
class SyntheticInput:
    """A prompt that only has sizes: for models with dummy weights.

    Attributes:
        sizes: (width, height) in pixels, one per image; empty for one image of the size that
            the model's vision tower takes.
        frames: make it a video of that many frames of ``sizes[0]``; ``None`` for images.
        text_tokens: random tokens around the media.
        seed: of the text tokens; the pixels are the same noise every time.
    """

    sizes: tuple[tuple[int, int], ...] = ()
    frames: int | None = None
    text_tokens: int = TEXT_TOKENS
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what means nothing.

        Raises:
            MediaArgumentError: no text, a size without pixels, a video of several sizes.
        """
        if self.text_tokens < 1 or (self.frames is not None and self.frames < 1):
            raise MediaArgumentError("synthetic input needs at least 1 text token and 1 frame")
        for width, height in self.sizes:
            if not 0 < width * height <= _MOST_PIXELS:
                raise MediaArgumentError(
                    f"--image-size {width}x{height} is too large or empty",
                    hint=f"at most {_MOST_PIXELS // 1_000_000} million pixels",
                )
        if self.frames is not None and len(self.sizes) > 1:
            raise MediaArgumentError(
                "--frames with several --image-size",
                hint="a video has frames of one size; leave out --frames for several images",
            )

    @property
    def prompt(self) -> str:
        """What a report shows for the prompt."""
        return f"({self.text_tokens} random token{'' if self.text_tokens == 1 else 's'})"


def parse_sizes(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """``["672x448"]`` → ``((672, 448),)``, width first.

    Raises:
        MediaArgumentError: no WIDTHxHEIGHT.
    """
    found = []
    for text in texts:
        match = re.fullmatch(r"([1-9][0-9]{0,8})[xX]([1-9][0-9]{0,8})", text.strip())
        if match is None:
            raise MediaArgumentError(
                f"--image-size {text!r} is no size", hint="WIDTHxHEIGHT in pixels, e.g. 672x448"
            )
        found.append((int(match[1]), int(match[2])))
    return tuple(found)
