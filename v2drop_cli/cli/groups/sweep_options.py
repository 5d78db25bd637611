"""What grows in a sweep, and what there is to see at each size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2drop_cli.cli.groups.measuring_options import AnswerOptions, ProfileMeasuring
from v2drop_cli.cli.groups.media_options import MediaOptions
from v2drop_cli.cli.signature import MEASURING, MEDIA, Looks, again, option
from v2drop_cli.errors import MediaArgumentError, UsageError
from v2drop_cli.records.curves import BATCH_SIZE, DIMENSIONS, FRAMES, IMAGE_SIZE, TEXT_TOKENS

if TYPE_CHECKING:
    from v2drop_cli.bench.stopping import StopRule

_SIDE_MOST = 13_377
"""A square of that side has as many pixels as a picture may."""
_MOST_FRAMES = 2**12
"""Of a made-up video: what holds as many holds any."""
_MOST = 2**20
_MOST_DIGITS = 20
"""Python refuses to read numbers of thousands of digits."""


@dataclass(frozen=True, slots=True)
class SweepSizes:
    """Media, and exactly one option that holds several sizes."""

    image: tuple[str, ...] = again(MediaOptions, "image")
    video: str | None = again(MediaOptions, "video")
    frames: str | None = option(
        None,
        Looks("--frames", "Frames of the video, or of a made-up one.", MEDIA, "N[,N...]"),
    )
    image_size: str | None = option(
        None,
        Looks(
            "--image-size",
            "Dummy weights, no media: sides of a square picture, in pixels; or one WxH.",
            MEDIA,
            "N[,N...]",
        ),
    )
    batch_size: str | None = option(
        None, Looks("--batch-size", "Rows of the same prompt.", MEDIA, "N[,N...]")
    )
    text_tokens: str | None = option(
        None,
        Looks(
            "--text-tokens",
            "Dummy weights, no media: random text tokens around them [default: 64].",
            MEDIA,
            "N[,N...]",
        ),
    )
    prompt: str | None = again(MediaOptions, "prompt")

    def growing(self) -> tuple[str, tuple[int, ...]]:
        """What grows and its sizes, the smallest first.

        Raises:
            UsageError: not exactly one option has several sizes, or one is no size.
        """
        several = [name for name in DIMENSIONS if "," in (self._text(name) or "")]
        hint = f"give one of {', '.join(map(_flag, DIMENSIONS))} several: --frames 8,16,32"
        if not several:
            raise UsageError("nothing grows", hint=hint)
        if len(several) > 1:
            both = " and ".join(map(_flag, several))
            raise UsageError(f"{both} grow together", hint="let one grow; of the others, one size")
        [name] = several
        if name == FRAMES and self.image:
            raise MediaArgumentError("--frames grow, and --image has none", hint="give --video")
        sizes = sorted(_number(name, part) for part in (self._text(name) or "").split(","))
        if len(set(sizes)) < len(sizes):
            raise UsageError(f"{_flag(name)} {self._text(name)!r} holds a size twice", hint=hint)
        return name, tuple(sizes)

    def most(self) -> int:
        """The largest size there can be; of a file's frames the largest asked for."""
        name, sizes = self.growing()
        if name == FRAMES and self.video is not None:
            return sizes[-1]
        most = {FRAMES: _MOST_FRAMES, IMAGE_SIZE: _SIDE_MOST}.get(name, _MOST)
        return max(most, sizes[-1])

    def rows(self, size: int) -> int:
        """Of the batch, where what grows is at ``size``."""
        return self._fixed(BATCH_SIZE, size) or 1

    def at(self, size: int) -> MediaOptions:
        """What ``profile`` would be given to see at ``size``."""
        side = self.image_size or ""
        if "," in side:
            side = str(size)
        square = side if not side.isdigit() else f"{side}x{side}"
        return MediaOptions(
            image=self.image,
            video=self.video,
            frames=self._fixed(FRAMES, size),
            image_size=(square,) if square else (),
            text_tokens=self._fixed(TEXT_TOKENS, size),
            prompt=self.prompt,
        )

    def _fixed(self, name: str, size: int) -> int | None:
        text = self._text(name)
        if text is None:
            return None
        return size if "," in text else _number(name, text)

    def _text(self, name: str) -> str | None:
        found: str | None = getattr(self, name)
        return found


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _number(name: str, text: str) -> int:
    digits = text.strip().lstrip("0")
    if digits.isdecimal() and len(digits) < _MOST_DIGITS and 0 < int(digits) <= _MOST:
        return int(digits)
    square = ", the side of a square" if name == IMAGE_SIZE else ""
    raise UsageError(
        f"{_flag(name)} {text.strip()!r} is no size", hint=f"a whole number from 1 on{square}"
    )


@dataclass(frozen=True, slots=True)
class SweepMeasuring(AnswerOptions):
    """As long as ``profile``, at each size."""

    max_new_tokens: int = again(AnswerOptions, "max_new_tokens", default=16)
    new_tokens: int = again(ProfileMeasuring, "new_tokens")
    decode: str = again(ProfileMeasuring, "decode")
    repeats: int | None = again(
        ProfileMeasuring,
        "repeats",
        help="At each size: timed rounds to take at least [default: 5; 10 if time allows].",
    )
    warmup: int = again(ProfileMeasuring, "warmup")
    precision: str = again(
        ProfileMeasuring,
        "precision",
        help="At each size: stop once every prefill ratio is known to +/- this share.",
    )
    max_time: float = again(
        ProfileMeasuring,
        "max_time",
        help="At each size: or stop once this time is over, but not before 5 rounds, or "
        "--repeats N.",
    )
    max_memory: str | None = option(
        None,
        Looks(
            "--max-memory",
            "What fits is asked of so much, e.g. 24GiB [default: all that the device has].",
            MEASURING,
            "SIZE",
        ),
    )

    def check(self) -> None:
        """Refuse what means nothing.

        Raises:
            UsageError: as for ``profile``; or a size that is none.
        """
        self._as_profiled().check()
        self.memory()

    def stop_rule(self) -> StopRule:
        """When to stop at each size."""
        return self._as_profiled().stop_rule()

    def memory(self) -> int | None:
        """``--max-memory`` in bytes.

        Raises:
            UsageError: it is no size.
        """
        from v2drop_cli.units import parse_bytes

        if self.max_memory is None:
            return None
        try:
            return parse_bytes(self.max_memory)
        except ValueError as error:
            hint = "for example 24GiB, 500MB"
            raise UsageError(f"--max-memory {error}", hint=hint) from None

    def _as_profiled(self) -> ProfileMeasuring:
        return ProfileMeasuring(
            decode=self.decode,
            repeats=self.repeats,
            precision=self.precision,
            max_time=self.max_time,
        )
