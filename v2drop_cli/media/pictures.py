"""One still picture → upright 8-bit RGB, as a screen with the sRGB colour space shows it."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaError
from v2drop_cli.media import formats, limits, png
from v2drop_cli.media.colour import to_srgb
from v2drop_cli.media.samples import Range, known_range, stretched, to_8_bits
from v2drop_cli.media.streams import has_video
from v2drop_cli.media.tiff import read_tiff, tiff_kind
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

UPRIGHT = {  # EXIF orientation → the PIL.Image.Transpose that undoes it
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class _Stored:
    """A picture as it lies in the file: 8 bits a sample, everything else still to be done."""

    colours: Image
    alpha: Image | None
    profile: bytes | None
    orientation: int
    caveats: list[Caveat] = field(default_factory=list)


def read_picture(file: Path) -> tuple[Image, tuple[Caveat, ...]]:
    """The picture, and what the reader of an answer about it must know.

    Raises:
        MediaError: no picture, one that does not decode whole, or one of more than ``MAX_PIXELS``.
    """
    from PIL import Image

    with warnings.catch_warnings(record=True) as caught:
        # The bomb warning starts at half of MAX_PIXELS and means nothing below it; what Pillow
        # says of a file's quirks is a UserWarning, and becomes a caveat.
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        try:
            frame, caveats = _shown(_stored(file), file)
        except MediaError:
            raise
        except Image.DecompressionBombError as error:
            raise limits.too_large(file, str(error)) from None
        except MemoryError:
            raise limits.too_large(file, "there is not enough memory for it") from None
        except Exception as error:  # Pillow's readers let out whatever their parsing ran into
            raise _not_an_image(file, error) from error
    quirks = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    caveats += [CaveatKind.IMAGE_QUIRK.caveat(file=file.name, quirk=quirk) for quirk in quirks]
    return frame, tuple(caveats)


def _shown(stored: _Stored, file: Path) -> tuple[Image, list[Caveat]]:
    """In sRGB, over white where it is transparent, upright."""
    from PIL import Image

    frame, caveats = to_srgb(stored.colours, stored.profile, file.name)
    if stored.alpha is not None:
        frame = over_white(frame, stored.alpha)
    turn = UPRIGHT.get(stored.orientation)
    if turn:
        frame = frame.transpose(Image.Transpose[turn])
    return frame, [*stored.caveats, *caveats]


def over_white(colours: Image, alpha: Image) -> Image:
    """Lay an RGB picture over white, as a page shows it."""
    from PIL import Image

    clear = colours.copy()
    clear.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")


def _stored(file: Path) -> _Stored:
    tiff = read_tiff(file)
    if tiff is not None:
        caveats = [*tiff.caveats, *([_first_of(file, "several")] if tiff.several else [])]
        return _Stored(tiff.colours, tiff.alpha, tiff.profile, tiff.orientation, caveats)
    try:
        return _from_pillow(file, file)
    except ValueError:  # among others, of metadata that is too long for Pillow
        slim = png.without_long_metadata(file) if png.is_png(file) else None
        if slim is None:
            raise
        return _from_pillow(file, io.BytesIO(slim.data), slim.profile)


def _from_pillow(file: Path, source: Path | io.BytesIO, profile: bytes | None = None) -> _Stored:
    from PIL import Image

    with Image.open(source) as image:
        if image.width * image.height > limits.MAX_PIXELS:
            raise limits.too_large(file, f"{image.width} x {image.height} pixels")
        if image.format == "EPS":  # decoding one means running it as a program, in Ghostscript
            raise MediaError(f"{file} is a PostScript drawing", hint="export it as PNG")
        image.load()
        caveats: list[Caveat] = []
        colours, alpha = _colours(image, file, caveats)
        if getattr(image, "is_animated", False) and image.format != "MPO":
            # MPO: what else a camera's JPEG holds is a preview or a second lens.
            caveats.append(_first_of(file, _n_pictures(image)))
        elif image.format == "JPEG" and formats.is_motion_jpeg(file):
            caveats.append(_first_of(file, "several"))
        return _Stored(
            colours,
            alpha,
            profile or image.info.get("icc_profile"),
            image.getexif().get(_EXIF_ORIENTATION, 1),
            caveats,
        )


def _first_of(file: Path, count: str) -> Caveat:
    return CaveatKind.ANIMATED_FIRST_FRAME.caveat(file=file.name, count=count)


def _colours(image: Image, file: Path, caveats: list[Caveat]) -> tuple[Image, Image | None]:
    """8-bit colours (mode L, RGB, CMYK or LAB), and the transparency if there is any."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _scaled(image, file, caveats)
    if image.format == "PNG":
        deep = png.deep_colours(file)
        if deep is not None:
            return deep
    if image.mode in ("CMYK", "LAB"):
        return image.copy(), None
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    grey = image.mode in ("1", "L", "LA")
    if not image.has_transparency_data:
        return image.convert("L" if grey else "RGB"), None
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = key * png.grey_step(file)
    whole = image.convert("RGBA")
    colours = image.convert("L") if grey else whole.convert("RGB")
    return colours, whole.getchannel("A")


def _scaled(image: Image, file: Path, caveats: list[Caveat]) -> tuple[Image, Image | None]:
    """Grey from one channel of 16 or 32 bits; Pillow's own conversion would clip at 255."""
    import numpy as np
    from PIL import Image as Pictures

    values: Any = np.asarray(image)
    span = None
    if image.mode == "F":
        span = known_range(values, 32)
    elif image.mode != "I" or image.format in ("PNG", "PPM"):
        span = Range(0, 65535)
    if span is None:
        span, caveat = stretched(values, file)
        caveats.append(caveat)
    key, alpha = image.info.get("transparency"), None
    if isinstance(key, int):
        alpha = Pictures.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return Pictures.fromarray(to_8_bits(values, span)), alpha


def _n_pictures(image: Image) -> str:
    with contextlib.suppress(Exception):  # counting reads to the end, which may be damaged
        return str(getattr(image, "n_frames", "several"))
    return "several"


def _not_an_image(file: Path, error: Exception) -> MediaError:
    from PIL import UnidentifiedImageError

    kind = formats.name_of(file)
    if formats.heif_name(file) is not None:
        return MediaError(
            f"{file} is {kind} inside, which is not read", hint="convert it to JPEG or PNG"
        )
    if kind is None and has_video(file):
        return MediaError(f"{file} is a video, not an image", hint="pass it as --video")
    again = "does another program show it? export it from there as 8-bit PNG; or download it again"
    if isinstance(error, UnidentifiedImageError):
        message = f"{file} is not an image that can be read"
        if kind is None:
            hint = "it is none of PNG, JPEG, WebP, GIF, BMP and TIFF inside: export it as PNG"
            return MediaError(message, hint=hint)
        detail = (tiff_kind(file) if kind == "TIFF" else None) or "of a kind that is not known here"
        return MediaError(f"{message}: {kind} inside, {detail}", hint=again)
    reason = " ".join(str(error).split()) or type(error).__name__
    # Not "damaged": what one decoder cannot read may be sound, and Pillow does not tell.
    return MediaError(f"{file} cannot be decoded whole: {reason}", hint=again)
