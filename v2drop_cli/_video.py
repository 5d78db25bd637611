"""Which frames of a video, and getting them out of files that are not as they should be.

Private to :mod:`v2drop_cli.media`. No header is trusted for a count or a time: containers
count hidden and damaged frames, and name average rates. The packet count is only a first guess
at how many frames there are; decoding to the end settles it, and where the guess was wrong the
file is decoded again with the true count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from v2drop_cli.errors import MediaError
from v2drop_cli.records import Caveat

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image

MAX_PIXELS = 178_956_970
"""Largest picture or video frame decoded, width x height: Pillow's own line for a bomb."""

_QUARTER_TURNS = (None, "ROTATE_90", "ROTATE_180", "ROTATE_270")  # counterclockwise
_TEXT_CODECS = frozenset({"ansi", "bintext", "idf", "xbin"})  # FFmpeg types .txt out as video
_STILL_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"})
_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)$")
_FALLBACK_RATE = 25.0
_TAIL_TOLERANCE_S = 0.5


@dataclass(slots=True)
class _Scan:
    """One decoding pass: pictures of the wanted frames, facts about all of them."""

    pictures: dict[int, Image] = field(default_factory=dict)
    stamps_s: list[float | None] = field(default_factory=list)
    losses: list[tuple[int, float | None]] = field(default_factory=list)  # (frames so far, stamp)
    rate: float = _FALLBACK_RATE
    start_s: float | None = None
    last_duration_s: float = 0.0
    declared_end_s: float | None = None

    @property
    def total(self) -> int:
        return len(self.stamps_s)

    @property
    def lost_at_end(self) -> int:
        """Losses after the last whole frame; also by stamp, as decoders hand out frames late."""
        last_s = max((stamp for stamp in self.stamps_s if stamp is not None), default=math.inf)
        return sum(
            total == self.total or (stamp is not None and stamp > last_s)
            for total, stamp in self.losses
        )


def sample_indices(total: int, n: int) -> tuple[int, ...]:
    """Pick the middles of ``n`` equal parts of ``total`` frames; each once where n >= total.

    The middle of each part, not its start: neither the first frame (often black) nor the last
    is favoured, and every part of the video counts the same.

    >>> sample_indices(100, 4), sample_indices(3, 8)
    ((12, 37, 62, 87), (0, 1, 2))
    """
    n = min(n, total)
    return tuple((2 * part + 1) * total // (2 * n) for part in range(n))


def too_large(file: Path, size: str) -> MediaError:
    """Word the refusal of a picture or frame above ``MAX_PIXELS``."""
    return MediaError(
        f"{file} is too large to decode: {size}",
        hint=f"scale it down; the limit is {MAX_PIXELS // 1_000_000} million pixels a picture",
    )


def has_video(file: Path) -> bool:
    """Whether ``file`` opens as a video, as far as its headers tell."""
    try:
        with _open(file) as container:
            _video_stream(container, file)
    except MediaError:
        return False
    return True


def read_frames(
    file: Path, n_frames: int
) -> tuple[tuple[Image, ...], tuple[float, ...], tuple[Caveat, ...]]:
    """Pictures, their times in seconds from the start of the video stream, and caveats.

    Raises:
        MediaError: no video, no frame that decodes, or frames of more than ``MAX_PIXELS``.
    """
    scan = _scan_sampled(file, n_frames)
    if not scan.total:
        raise MediaError(f"no frame of {file} can be decoded", hint="does it play? export it again")
    times_s, estimated = _presentation_times(scan)
    caveats = list(_caveats(scan, times_s, estimated, file))
    if scan.total < n_frames:
        message = (
            f"{file.name}: {n_frames} frames asked for, it has {scan.total}: each is used once"
        )
        caveats.append(Caveat("video_fewer_frames", message))
    chosen = sorted(scan.pictures)
    pictures = tuple(scan.pictures[index] for index in chosen)
    return pictures, tuple(times_s[index] for index in chosen), tuple(caveats)


def _scan_sampled(file: Path, n_frames: int) -> _Scan:
    total = _count_packets(file)
    # Frame threads are fast, but hold finished frames back and lose them when a later one
    # fails: a damaged file is read again without them.
    for threads in ("AUTO", "SLICE", "SLICE"):
        scan = _scan(file, frozenset(sample_indices(total, n_frames)), threads)
        if scan.total == total and (threads == "SLICE" or not scan.losses):
            break
        total = scan.total
    return scan


def _count_packets(file: Path) -> int:
    import av

    count = 0
    with _open(file) as container:
        try:
            for packet in container.demux(_video_stream(container, file)):
                count += bool(packet.size and not packet.is_discard)
        except av.error.FFmpegError:  # the decoding pass meets this again, and reports it
            pass
    return count


def _scan(file: Path, wanted: frozenset[int], threads: Literal["AUTO", "SLICE"]) -> _Scan:
    scan, size = _Scan(), None
    with _open(file) as container:
        stream = _video_stream(container, file)
        stream.thread_type = threads
        _read_header(scan, container, stream)
        for frame, stamp_s in _decoded(container, stream):
            if frame is None or frame.is_corrupt:
                scan.losses.append((scan.total, stamp_s))
                continue
            if frame.width * frame.height > MAX_PIXELS:
                raise too_large(file, f"frames of {frame.width} x {frame.height} pixels")
            if scan.total in wanted:
                size = size or (frame.width, frame.height)
                scan.pictures[scan.total] = _picture(frame, *size)
            scan.stamps_s.append(stamp_s)
            scan.last_duration_s = _seconds(frame.duration, stream) or 0.0
    return scan


def _decoded(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[VideoFrame | None, float | None]]:
    """Frames in presentation order with their stamps; ``None`` for what did not decode."""
    import av

    source: Iterator[Packet[VideoStream]] = container.demux(stream)
    ended = False
    while not ended:
        try:  # PyAV closes with an empty packet; the decoder is flushed here, also after errors
            packet = next((packet for packet in source if packet.size), None)
        except av.error.FFmpegError:
            packet = None
            yield None, math.inf  # what follows the break cannot even be found
        ended = packet is None
        try:
            for frame in stream.decode(packet):
                yield frame, _seconds(frame.pts, stream)
        except av.error.EOFError:
            pass
        except av.error.FFmpegError:
            yield None, None if packet is None else _seconds(packet.pts, stream)


def _open(file: Path) -> InputContainer:
    import av

    # An absolute path is never read as a protocol, and a playlist may not reach the network.
    location, options = str(file.resolve()), {"protocol_whitelist": "file"}
    try:
        try:
            return av.open(location, options=options)
        except UnicodeDecodeError:  # a tag in another encoding; PyAV 19 no longer minds
            return av.open(location, options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{file} is not a video that can be read: {error.strerror}",
            hint="does it play? a recording or download that was cut short has to be made again",
        ) from error


def _video_stream(container: InputContainer, file: Path) -> VideoStream:
    """Find the first moving picture: no still, no cover art, no typed-out text."""
    from av.stream import Disposition

    name = container.format.name
    with file.open("rb") as opened:
        brand = opened.read(12)[8:]
    if name.endswith("_pipe") or name in ("image2", "ico") or brand in _STILL_BRANDS:
        raise MediaError(f"{file} is an image, not a video", hint="pass it as --image")
    for stream in container.streams.video:
        context = stream.codec_context
        if context is None or context.name in _TEXT_CODECS:
            continue
        if stream.disposition & Disposition.attached_pic:
            continue
        if context.width * context.height > MAX_PIXELS:
            raise too_large(file, f"frames of {context.width} x {context.height} pixels")
        return stream
    kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
    found = f"only {' and '.join(kinds)}" if kinds else "text or a cover picture at most"
    raise MediaError(f"{file} has no video stream", hint=f"it holds {found}")


def _read_header(scan: _Scan, container: InputContainer, stream: VideoStream) -> None:
    scan.rate = float(stream.average_rate or 0) or _FALLBACK_RATE
    scan.start_s = _seconds(stream.start_time, stream)
    # Where the container names only its own length, that may be the sound's.
    tag = _DURATION_TAG.match(stream.metadata.get("DURATION", ""))
    if stream.duration:
        scan.declared_end_s = _seconds(stream.duration, stream)
    elif tag:  # Matroska, which counts from time 0, not from the first frame
        end_s = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        scan.declared_end_s = end_s - (scan.start_s or 0.0)
    elif container.duration and len(container.streams) == 1:
        scan.declared_end_s = container.duration / 1e6 - (scan.start_s or 0.0)


def _seconds(ticks: int | None, stream: VideoStream) -> float | None:
    # Not Frame.time: frames that come out of a flushed decoder may carry no time base.
    return None if ticks is None or not stream.time_base else ticks * float(stream.time_base)


def _picture(frame: VideoFrame, width: int, height: int) -> Image:
    """RGB, upright; a stream that changes its frame size on the way is scaled to its first."""
    import PIL.Image

    untyped: Any = frame
    picture: PIL.Image.Image = untyped.to_image(width=width, height=height)
    turn = _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    return picture.transpose(PIL.Image.Transpose[turn]) if turn else picture


def _presentation_times(scan: _Scan) -> tuple[list[float], int]:
    """Seconds from the stream's start, strictly increasing, and how many had to be estimated."""
    known = [stamp for stamp in scan.stamps_s if stamp is not None]
    starts = [start for start in (scan.start_s, *known[:1]) if start is not None]
    origin, step = min(starts, default=0.0), 1 / scan.rate
    times_s: list[float] = []
    estimated, previous = 0, -step
    for stamp in scan.stamps_s:
        seconds = None if stamp is None else stamp - origin
        if seconds is None or (times_s and seconds <= previous):
            seconds = previous + step
            estimated += 1
        previous = seconds
        times_s.append(round(seconds, 6))
    return times_s, estimated


def _caveats(scan: _Scan, times_s: list[float], estimated: int, file: Path) -> Iterator[Caveat]:
    name, total, at_end = file.name, scan.total, scan.lost_at_end
    end_s, declared_s = times_s[-1] + scan.last_duration_s, scan.declared_end_s or 0.0
    if at_end or end_s + _TAIL_TOLERANCE_S + 2 / scan.rate < declared_s:
        of = f" of {declared_s:.2f}" if declared_s > end_s else ""
        message = f"{name}: decoding ended at {end_s:.2f}{of} s; its {total} whole frames are used"
        yield Caveat("video_broken_tail", message)
    if skipped := len(scan.losses) - at_end:
        message = f"{name}: {skipped} damaged frames left out, {total} whole ones used"
        yield Caveat("video_frames_skipped", message)
    if estimated:
        message = (
            f"{name}: {estimated} of {total} frames have no usable time: {scan.rate:g}/s assumed"
        )
        yield Caveat("video_times_estimated", message)
