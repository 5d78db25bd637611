"""What the tags of a TIFF say of its samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Values of the tags, as the TIFF 6.0 specification names them.
MIN_IS_WHITE, MIN_IS_BLACK, RGB = 0, 1, 2  # PhotometricInterpretation
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4  # SampleFormat
PREMULTIPLIED, STRAIGHT = 1, 2  # ExtraSamples
_PHOTOMETRIC = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab",
    9: "ICCLab", 32803: "colour filter array", 34892: "raw camera",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """How the samples of the first picture lie, and what they mean.

    Attributes:
        bits: of each sample of a pixel.
        formats: the different sample formats, one for nearly every file.
        extra: the ExtraSamples tag.
        planes: each band lies by itself, not pixel by pixel.
        tile: (width, height) of the tiles; ``None`` where the rows are in strips.
        segments: (offset, length) of every strip or tile.
        segment_rows: rows of a whole strip or tile.
    """

    width: int
    height: int
    bits: tuple[int, ...]
    photometric: int
    formats: tuple[int, ...]
    extra: tuple[int, ...]
    planes: bool
    predictor: int
    compression: int
    little_endian: bool
    reversed_bits: bool
    tile: tuple[int, int] | None
    segments: tuple[tuple[int, int], ...]
    segment_rows: int

    @property
    def bands(self) -> int:
        """Samples a pixel."""
        return len(self.bits)

    @property
    def colours(self) -> int:
        """Of them, how many are colour; the others are extra."""
        return 3 if self.photometric == RGB else 1

    @property
    def alpha(self) -> int | None:
        """Which kind of transparency the first extra sample is, if it is one."""
        if self.bands <= self.colours:
            return None
        if not self.extra:  # four samples for RGB and no tag: programs mean transparency
            return STRAIGHT if self.photometric == RGB and self.bands == 4 else None
        return self.extra[0] if self.extra[0] in (PREMULTIPLIED, STRAIGHT) else None

    @property
    def kind(self) -> str:
        """In words, for a message."""
        bits = " and ".join(map(str, sorted(set(self.bits))))
        bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
        named = _PHOTOMETRIC.get(self.photometric, f"photometric {self.photometric}")
        return f"{bands} of {bits} bits, {named}"


def layout_of(tags: Any) -> Layout | None:
    """Read the tags, a Pillow directory; ``None`` where they are not sound."""

    def several(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        found = tags.get(tag, default)
        return tuple(map(int, found)) if isinstance(found, tuple) else (int(found),)

    try:
        width, height, bands = int(tags[256]), int(tags[257]), int(tags.get(277, 1))
        bits = several(258, (1,))
        tile = (int(tags[322]), int(tags[323])) if 322 in tags else None
        offsets, lengths = (324, 325) if tile else (273, 279)
        segments = tuple(zip(several(offsets, ()), several(lengths, ()), strict=True))
        layout = Layout(
            width=width,
            height=height,
            bits=bits * bands if len(bits) == 1 else bits[:bands],
            photometric=int(tags.get(262, MIN_IS_WHITE)),
            formats=tuple(sorted(set(several(339, (UNSIGNED,))))),
            extra=several(338, ()),
            planes=int(tags.get(284, 1)) == 2,
            predictor=int(tags.get(317, 1)),
            compression=int(tags.get(259, 1)),
            little_endian=tags.prefix == b"II",
            reversed_bits=int(tags.get(266, 1)) == 2,
            tile=tile,
            segments=segments,
            segment_rows=tile[1] if tile else min(int(tags.get(278, height)), height),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    sizes = (width, height, layout.segment_rows, *(tile or (1,)))
    sound = 0 < bands <= 1000 and min(sizes) > 0 and min(layout.bits) > 0 and segments
    return layout if sound else None
