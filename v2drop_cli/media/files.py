"""Files as callers get them: :class:`Media`, an image's one frame or a video's frames."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.media.addresses import check_media_path
from v2drop_cli.media.pictures import read_picture
from v2drop_cli.media.video import read_frames
from v2drop_cli.records import Caveat, MediaRecord

if TYPE_CHECKING:  # Pillow, numpy and PyAV load on first use: `v2drop --help` needs none of them.
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Media:
    """One decoded file.

    Attributes:
        path: the file, as it was named; what a ``file://`` address names.
        kind: ``"image"`` (exactly one frame) or ``"video"`` (at least one).
        frames: upright RGB pictures, all of one size.
        frame_times_s: when each frame is shown, in seconds from the start of the video stream,
            strictly increasing; ``None`` for an image.
        width: of the upright source, in pixels; the frames are not resized.
        height: of the upright source, in pixels.
        caveats: what the reader of an answer about this file must know.
        sha256: of the file's bytes, in hexadecimal; ``None`` where nobody worked it out.
    """

    path: Path
    kind: Literal["image", "video"]
    frames: tuple[Image, ...]
    frame_times_s: tuple[float, ...] | None
    width: int
    height: int
    caveats: tuple[Caveat, ...] = ()
    sha256: str | None = None

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
            sha256=self.sha256,
        )


def load_image(path: str | os.PathLike[str]) -> Media:
    """Read the picture in ``path`` as one upright 8-bit RGB frame.

    EXIF orientation is applied. What the file says of its samples decides what is black and
    white: bits, sign, inversion, transparent colour. An embedded colour profile is converted to
    sRGB (caveat ``image_profile_ignored`` where it is broken). Transparent pictures are laid
    over white, as a page shows them: dropping the alpha channel would show the model colours
    that nobody sees, and over black, dark drawings on a transparent ground would vanish. Of
    several pictures the first is used (caveat ``animated_first_frame``); signed and 32-bit
    pictures without a known white are stretched from their own minimum to maximum (caveat
    ``image_range_stretched``).

    Raises:
        MediaArgumentError: see :func:`check_media_path`.
        MediaError: no picture, one that does not decode whole, or more than ``MAX_PIXELS``.
    """
    file = check_media_path(path)
    return replace(_image(file), sha256=_digest(file))


def load_video(path: str | os.PathLike[str], n_frames: int) -> Media:
    """``n_frames`` upright RGB frames of the video in ``path``, evenly spread in time.

    Which frames: those shown in the middle of ``n_frames`` equal parts of the time, of those that
    decode whole; at a constant rate that is :func:`sample_indices`. No frame is used twice: where
    one is shown for longer than a part, the nearest others come in (caveat
    ``video_uneven_frames``), and a video with fewer gives each of them once (caveat
    ``video_fewer_frames``). Damage does not end the reading: see the caveats
    ``video_broken_tail`` and ``video_frames_skipped``. Frames without a usable timestamp
    are placed by the frame rate (``video_times_estimated``). Rotation and mirror metadata is
    applied, transparency laid over white, high dynamic range mapped to sRGB
    (``video_tone_mapped``); pixels are taken as square. The file is read up to four times, and
    no more than ``n_frames`` pictures are held at once.

    Raises:
        MediaArgumentError: ``n_frames`` below 1; see also :func:`check_media_path`.
        MediaError: no video, no frame that decodes, or frames of more than ``MAX_PIXELS``.
    """
    if n_frames < 1:
        raise MediaArgumentError(f"cannot take {n_frames} frames", hint="ask for at least 1")
    file = check_media_path(path)
    return replace(_video(file, n_frames), sha256=_digest(file))


def decode_again(media: Media) -> Media:
    """Read the file of ``media`` once more, the same way: for timing just that."""
    if media.kind == "image":
        return _image(media.path)
    return _video(media.path, len(media.frames))


def _image(file: Path) -> Media:
    frame, caveats = read_picture(file)
    return Media(file, "image", (frame,), None, frame.width, frame.height, caveats)


def _video(file: Path, n_frames: int) -> Media:
    frames, times_s, caveats = read_frames(file, n_frames)
    width, height = frames[0].size
    return Media(file, "video", frames, times_s, width, height, caveats)


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
