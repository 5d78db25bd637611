"""Opening a video file, and which of its streams is the picture that people watch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaError
from v2drop_cli.media import formats, limits
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.stream import Disposition
    from av.video.stream import VideoStream

_TEXT_CODECS = frozenset({"ansi", "bintext", "idf", "xbin"})  # FFmpeg types .txt out as video
# What is no picture of its own: covers, chapter thumbnails, stills, layers of another stream.
_ASIDE = ("attached_pic", "timed_thumbnails", "still_image", "dependent")
# Bare streams hold no times: what comes out of FFmpeg for them is counted, not read.
_TIMELESS = frozenset({
    "mjpeg", "h264", "hevc", "vvc", "m4v", "mpegvideo", "h261", "h263", "obu", "dirac", "vc1",
    "cavsvideo", "avs2", "avs3", "evc",
})  # fmt: skip
# In these a packet ends where the next one begins, so the last one of a file that breaks off looks
# whole. Elsewhere each packet tells its size.
_SIZELESS = _TIMELESS | {"mpegts", "mpeg"}
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Codecs whose transparency only this decoder reads: it lies beside the picture, in WebM."""


@dataclass(slots=True)
class Source:
    """One stream of one file, as every pass over it opens it.

    Attributes:
        form: name of the container, where FFmpeg has to be told; else ``None``.
        index: of the stream in the file.
        packets: (stamp, duration) of each, in ticks of the stream; ``None`` is unknown.
        timeless: whether the stamps come from the frame rate alone.
        doubtful: whether the file may break off in the middle of a packet, or does.
    """

    file: Path
    form: str | None
    index: int = 0
    packets: list[tuple[int | None, int | None]] = field(default_factory=list)
    timeless: bool = False
    doubtful: bool = False
    caveats: list[Caveat] = field(default_factory=list)

    def open(self) -> InputContainer:
        """Open the file anew."""
        return _open(self.file, self.form)

    def stream(self, container: InputContainer) -> VideoStream:
        """The chosen stream in the file just opened."""
        return next(each for each in container.streams.video if each.index == self.index)

    def decoder(self, stream: VideoStream) -> Any:
        """The decoder of the stream; another one than its own where that loses transparency."""
        import av

        own: Any = stream.codec_context
        name = _WITH_ALPHA.get(own.name)
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        if name is None or tags.get("alpha_mode") != "1":
            return own
        try:
            context: Any = av.CodecContext.create(name, "r")
        except (ValueError, av.error.FFmpegError):  # a build without that library
            self.caveats.append(CaveatKind.VIDEO_ALPHA_IGNORED.caveat(file=self.file.name))
            return own
        context.extradata = own.extradata
        return context


def has_video(file: Path) -> bool:
    """Whether ``file`` opens as a video, as far as its headers tell."""
    try:
        form = _form(file)
        with _open(file, form) as container:
            _candidates(container, file, form)
    except MediaError:
        return False
    return True


def find_source(file: Path) -> Source:
    """Open ``file``, choose its stream, and read through its packets once.

    Raises:
        MediaError: no video, or frames of more than ``MAX_PIXELS``.
    """
    import av

    form = _form(file)
    source = Source(file, form)
    with _open(file, form) as container:
        streams = _candidates(container, file, form)
        source.timeless = container.format.name in _TIMELESS
        source.doubtful = container.format.name in _SIZELESS
        packets: dict[int, list[tuple[int | None, int | None]]] = {
            stream.index: [] for stream in streams
        }
        try:
            for packet in container.demux(*streams):
                source.doubtful |= packet.is_corrupt
                if packet.size and not packet.is_discard:
                    packets[packet.stream_index].append((packet.pts, packet.duration))
        except av.error.FFmpegError:  # the decoding pass meets this again, and reports it
            source.doubtful = True
        chosen = max(streams, key=lambda stream: _rank(stream, len(packets[stream.index])))
        moving = [stream for stream in streams if len(packets[stream.index]) > 1]
        context = chosen.codec_context
        size = f"{context.width} x {context.height}"
        if context.width * context.height > limits.MAX_PIXELS:
            raise limits.too_large(file, f"frames of {size} pixels")
        if len(moving) > 1:
            source.caveats.append(
                CaveatKind.VIDEO_STREAM_CHOSEN.caveat(
                    file=file.name, count=len(moving), number=1 + moving.index(chosen), size=size
                )
            )
        source.index, source.packets = chosen.index, packets[chosen.index]
    return source


def _rank(stream: VideoStream, frames: int) -> tuple[bool, bool, int, int, int]:
    """What moves, then what players show, then the largest, the longest, the first."""
    from av.stream import Disposition

    context = stream.codec_context
    shown = bool(stream.disposition & Disposition.default)
    return frames > 1, shown, context.width * context.height, frames, -stream.index


def _form(file: Path) -> str | None:
    """The container to name to FFmpeg, which takes bare Motion JPEG for one picture.

    Raises:
        MediaError: it is a still picture, which FFmpeg would take for a video.
    """
    still = formats.heif_name(file)
    if still is not None:
        from PIL import Image

        read = f".{still.lower()}" in Image.registered_extensions()  # plugins may add some
        hint = "pass it as --image" if read else "convert it to PNG and pass that as --image"
        raise MediaError(f"{file} is an image inside ({still}), not a video", hint=hint)
    return "mjpeg" if formats.is_motion_jpeg(file) else None


def _open(file: Path, form: str | None) -> InputContainer:
    import av

    # An absolute path is never read as a protocol, and a playlist may not reach the network.
    location, options = str(file.resolve()), {"protocol_whitelist": "file"}
    try:
        try:
            return av.open(location, format=form, options=options)
        except UnicodeDecodeError:  # a tag in another encoding; PyAV 19 no longer minds
            return av.open(location, format=form, options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{file} is not a video that can be read: {error.strerror}",
            hint="does it play? a recording or download that was cut short has to be made again",
        ) from error


def _candidates(container: InputContainer, file: Path, form: str | None) -> list[VideoStream]:
    """All moving pictures: no still, no cover art, no typed-out text.

    Raises:
        MediaError: there is none.
    """
    name = container.format.name
    if name.endswith("_pipe") or name in ("image2", "ico"):
        raise MediaError(f"{file} is an image, not a video", hint="pass it as --image")
    aside = _aside()
    found = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None
        and stream.codec_context.name not in _TEXT_CODECS
        and not stream.disposition & aside
    ]
    if found:
        return found
    kinds = sorted(Counter(s.type for s in container.streams if s.type != "video"))
    held = f"only {' and '.join(kinds)}" if kinds else "text or a cover picture at most"
    raise MediaError(f"{file} has no video stream", hint=f"it holds {held}")


def _aside() -> Disposition:
    from av.stream import Disposition

    flags = Disposition(0)
    for name in _ASIDE:
        flags |= Disposition[name]
    return flags
