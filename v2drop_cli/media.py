"""Image and video files → upright RGB frames, with the presentation times of a video's frames.

:func:`check_media_path` is cheap and comes before any model is loaded; :func:`load_image` and
:func:`load_video` decode. Whatever a file does to its decoder, callers see one
:class:`~v2drop_cli.errors.MediaError`, or a :class:`~v2drop_cli.records.Caveat` where the file
can be used all the same.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from v2drop_cli._video import MAX_PIXELS, has_video, read_frames, sample_indices, too_large
from v2drop_cli.errors import MediaArgumentError, MediaError
from v2drop_cli.records import Caveat, MediaRecord

if TYPE_CHECKING:  # Pillow, numpy and PyAV load on first use: `v2drop --help` needs none of them.
    from PIL.Image import Image

__all__ = [
    "MAX_PIXELS",
    "Media",
    "check_media_path",
    "decode_again",
    "load_image",
    "load_video",
    "sample_indices",
]

_UPRIGHT = {  # EXIF orientation → the PIL.Image.Transpose that undoes it
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Media:
    """One decoded file.

    Attributes:
        path: the file, as it was named.
        kind: ``"image"`` (exactly one frame) or ``"video"`` (at least one).
        frames: upright RGB pictures, all of one size.
        frame_times_s: when each frame is shown, in seconds from the start of the video stream,
            strictly increasing; ``None`` for an image.
        width: of the upright source, in pixels; the frames are not resized.
        height: of the upright source, in pixels.
        caveats: what the reader of an answer about this file must know.
    """

    path: Path
    kind: Literal["image", "video"]
    frames: tuple[Image, ...]
    frame_times_s: tuple[float, ...] | None
    width: int
    height: int
    caveats: tuple[Caveat, ...] = ()

    @property
    def record(self) -> MediaRecord:
        """The file as a report names it: without pixels."""
        return MediaRecord(
            path=str(self.path),
            kind=self.kind,
            width=self.width,
            height=self.height,
            frames=len(self.frames),
            frame_times_s=self.frame_times_s,
        )


def check_media_path(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`~pathlib.Path`, once it is known to be a readable, non-empty file.

    Raises:
        MediaArgumentError: nothing there, a directory, not a regular file, or not readable.
        MediaError: the file is empty.
    """
    file = Path(path)
    try:
        status = file.stat()
        if stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            file.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        raise MediaArgumentError(f"no such file: {file}", hint=_path_hint(file)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaArgumentError(
            f"cannot open {str(file)!r}: {reason}", hint="check the name and its permissions"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        raise MediaArgumentError(
            f"{file} is a directory", hint="name one image or video file inside it"
        )
    if not stat.S_ISREG(status.st_mode):
        raise MediaArgumentError(
            f"{file} is not a regular file", hint="save the stream to a file and name that"
        )
    if status.st_size == 0:
        raise MediaError(f"{file} is empty (0 bytes)", hint="download or export it again")
    return file


def load_image(path: str | os.PathLike[str]) -> Media:
    """Read the picture in ``path`` as one upright 8-bit RGB frame.

    EXIF orientation is applied. Transparent pictures are laid over white, as a page shows them:
    dropping the alpha channel would show the model colours that nobody sees, and over black,
    dark drawings on a transparent ground would vanish. 16-bit pictures are scaled, not clipped.
    Of an animation the first frame is used (caveat ``animated_first_frame``); 32-bit pictures
    without a known white are stretched from their own minimum to maximum (caveat
    ``image_range_stretched``).

    Raises:
        MediaArgumentError: see :func:`check_media_path`.
        MediaError: no picture, a truncated or damaged one, or more than ``MAX_PIXELS``.
    """
    from PIL import Image

    file = check_media_path(path)
    with warnings.catch_warnings(record=True) as caught:
        # The bomb warning starts at half of MAX_PIXELS and means nothing below it; what Pillow
        # says of a file's quirks is a UserWarning, and becomes a caveat.
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        try:
            frame, caveats = _decode_image(file)
        except MediaError:
            raise
        except Image.DecompressionBombError as error:
            raise too_large(file, str(error)) from None
        except Exception as error:  # Pillow's readers let out whatever their parsing ran into
            raise _not_an_image(file, error) from error
    quirks = dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught)
    caveats += [Caveat("image_quirk", f"{file.name}: {quirk}") for quirk in quirks]
    return Media(file, "image", (frame,), None, frame.width, frame.height, tuple(caveats))


def load_video(path: str | os.PathLike[str], n_frames: int) -> Media:
    """``n_frames`` upright RGB frames of the video in ``path``, evenly spread over its frames.

    Which frames: :func:`sample_indices` over those that decode whole. A video with fewer gives
    each of them once (caveat ``video_fewer_frames``). Damage does not end the reading: see the
    caveats ``video_broken_tail`` and ``video_frames_skipped``. Frames without a usable timestamp
    are placed by the frame rate (``video_times_estimated``). Rotation metadata is applied;
    pixels are taken as square. The file is read up to four times, and no more than ``n_frames``
    pictures are held at once.

    Raises:
        MediaArgumentError: ``n_frames`` below 1; see also :func:`check_media_path`.
        MediaError: no video, no frame that decodes, or frames of more than ``MAX_PIXELS``.
    """
    if n_frames < 1:
        raise MediaArgumentError(f"cannot take {n_frames} frames", hint="ask for at least 1")
    file = check_media_path(path)
    frames, times_s, caveats = read_frames(file, n_frames)
    width, height = frames[0].size
    return Media(file, "video", frames, times_s, width, height, caveats)


def decode_again(media: Media) -> Media:
    """Read the file of ``media`` once more, the same way: for timing just that."""
    if media.kind == "image":
        return load_image(media.path)
    return load_video(media.path, len(media.frames))


def _path_hint(file: Path) -> str:
    if str(file).startswith(("http:/", "https:/", "s3:/")):
        return "only local files are read: download it first"
    if not file.parent.is_dir():
        return f"there is no directory {file.parent}"
    siblings: list[str] = []
    with contextlib.suppress(OSError):  # a directory that may be entered but not listed
        siblings = os.listdir(file.parent)
    near = difflib.get_close_matches(file.name, siblings)
    return f"did you mean {' or '.join(near)}?" if near else f"looked in {file.parent.resolve()}"


def _decode_image(file: Path) -> tuple[Image, list[Caveat]]:
    from PIL import Image

    with Image.open(file) as image:
        if image.width * image.height > MAX_PIXELS:
            raise too_large(file, f"{image.width} x {image.height} pixels")
        if image.format == "EPS":  # decoding one means running it as a program, in Ghostscript
            raise MediaError(f"{file} is a PostScript drawing", hint="export it as PNG")
        image.load()
        turn = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
        upright = image.transpose(Image.Transpose[turn]) if turn else image
        if image.mode.startswith("I;16") or image.mode in ("I", "F"):
            frame, caveats = _scaled_to_8_bits(upright, file, image.format)
        else:
            frame, caveats = _flattened(upright), []
        if getattr(image, "is_animated", False) and image.format != "MPO":
            # MPO: what else a camera's JPEG holds is a preview or a second lens.
            message = f"{file.name} holds {_n_pictures(image)} pictures: the first one is used"
            caveats.append(Caveat("animated_first_frame", message))
        return frame, caveats


def _flattened(image: Image) -> Image:
    """RGB, over white where the picture is transparent."""
    from PIL import Image

    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _scaled_to_8_bits(image: Image, file: Path, kind: str | None) -> tuple[Image, list[Caveat]]:
    """RGB from one channel of 16 or 32 bits; Pillow's own conversion would clip at 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image, dtype=np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise MediaError(f"{file} holds no finite pixel value", hint="export it as 8-bit PNG")
    low, high, caveats = float(finite.min()), float(finite.max()), []
    if image.mode != "F" and (image.mode != "I" or kind in ("PNG", "PPM")):
        low, high = 0.0, 65535.0
    elif image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    else:
        message = f"{file.name}: values {low:g} to {high:g} were stretched to black to white"
        caveats.append(Caveat("image_range_stretched", message))
    scaled = (np.nan_to_num(values, nan=low) - low) * (255.0 / max(high - low, 1e-30))
    pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return Image.fromarray(pixels).convert("RGB"), caveats


def _n_pictures(image: Image) -> str:
    with contextlib.suppress(Exception):  # counting reads to the end, which may be damaged
        return str(getattr(image, "n_frames", "several"))
    return "several"


def _not_an_image(file: Path, error: Exception) -> MediaError:
    from PIL import UnidentifiedImageError

    if has_video(file):
        return MediaError(f"{file} is a video, not an image", hint="pass it as --video")
    if isinstance(error, UnidentifiedImageError):
        hint = "PNG, JPEG, WebP, GIF, BMP and TIFF are read: export it as one of them"
        return MediaError(f"{file} is not an image that can be read", hint=hint)
    reason = " ".join(str(error).split()) or type(error).__name__
    return MediaError(
        f"{file} is damaged or cut short: {reason}", hint="download or export it again"
    )
