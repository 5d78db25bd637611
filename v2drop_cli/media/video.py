"""Getting the chosen frames of a video out of files that are not as they should be.

No header is trusted for a count or a time: containers count hidden and damaged frames, and name
average rates. The packets are only a first guess at how many frames there are, and when; decoding
to the end settles it, and where the guess was wrong the file is decoded again.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from v2drop_cli.errors import MediaError
from v2drop_cli.media import limits
from v2drop_cli.media.frames import picture
from v2drop_cli.media.light import light_of
from v2drop_cli.media.moments import Choice, choose
from v2drop_cli.media.streams import Source, find_source
from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL.Image import Image

_DURATION_TAG = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)$")
_FALLBACK_RATE = 25.0
_TAIL_TOLERANCE_S = 0.5
_Threads = Literal["AUTO", "NONE"]


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
    hdr: str | None = None

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


def read_frames(
    file: Path, n_frames: int
) -> tuple[tuple[Image, ...], tuple[float, ...], tuple[Caveat, ...]]:
    """Pictures, their times in seconds from the start of the video stream, and caveats.

    Raises:
        MediaError: no video, no frame that decodes, or frames of more than ``MAX_PIXELS``.
    """
    source = find_source(file)
    scan, choice = _scan_sampled(source, n_frames)
    if not scan.total:
        raise MediaError(f"no frame of {file} can be decoded", hint="does it play? export it again")
    times_s, estimated = _presentation_times(scan)
    caveats = [*dict.fromkeys(source.caveats), *_caveats(scan, times_s, estimated, file)]
    chosen = sorted(scan.pictures)
    if scan.total < n_frames:
        caveats.append(
            CaveatKind.VIDEO_FEWER_FRAMES.caveat(file=file.name, asked=n_frames, total=scan.total)
        )
    elif choice.uneven and len(chosen) > 1:
        gaps = [times_s[after] - times_s[one] for one, after in itertools.pairwise(chosen)]
        caveats.append(
            CaveatKind.VIDEO_UNEVEN_FRAMES.caveat(file=file.name, least=min(gaps), most=max(gaps))
        )
    pictures = tuple(scan.pictures[index] for index in chosen)
    return pictures, tuple(times_s[index] for index in chosen), tuple(caveats)


def _scan_sampled(source: Source, n_frames: int) -> tuple[_Scan, Choice]:
    wanted = _choice(_expected(source), n_frames)
    # Threads are fast, but tell of damage by chance or not at all: they hold finished frames back
    # and lose them when a later one fails, and a frame may be handed out by one thread before
    # another has marked it as damaged. So a file that may be damaged is read without them.
    passes: tuple[_Threads, ...] = ("NONE", "NONE") if source.doubtful else ("AUTO", "NONE", "NONE")
    for threads in passes:
        scan = _scan(source, frozenset(wanted.indices), threads)
        right = _choice(scan, n_frames)
        whole = not scan.losses and scan.total == len(source.packets)
        if right.indices == wanted.indices and (threads == "NONE" or whole):
            break
        wanted = right
    return scan, right


def _choice(scan: _Scan, n_frames: int) -> Choice:
    times_s, _ = _presentation_times(scan)
    return choose(times_s, scan.last_duration_s, n_frames)


def _expected(source: Source) -> _Scan:
    """What decoding will find, if every packet holds a frame."""
    scan = _Scan()
    with source.open() as container:
        stream = source.stream(container)
        _read_header(scan, container, stream)
        scan.stamps_s = [None] * len(source.packets)
        known = sorted((pts, lasts or 0) for pts, lasts in source.packets if pts is not None)
        if known and len(known) == len(source.packets) and not source.timeless:
            scan.stamps_s = [_seconds(pts, stream) for pts, _ in known]
            scan.last_duration_s = _seconds(known[-1][1], stream) or 0.0
    return scan


def _scan(source: Source, wanted: frozenset[int], threads: _Threads) -> _Scan:
    """Decode to the end, and keep the pictures of ``wanted`` frames.

    Args:
        source: the stream.
        wanted: by number, counted through the whole frames.
        threads: ``AUTO`` for as many as there are. What cannot be decoded is then an error and no
            frame with a mark, so that fewer frames come out than packets went in.
    """
    scan, size = _Scan(), None
    with source.open() as container:
        stream = source.stream(container)
        decoder = source.decoder(stream)
        decoder.thread_type = threads
        if threads == "AUTO":
            decoder.options = {"err_detect": "explode"}
        _read_header(scan, container, stream)
        for frame, stamp_s in _decoded(container, stream, decoder):
            if frame is None or frame.is_corrupt:
                scan.losses.append((scan.total, stamp_s))
                continue
            if frame.width * frame.height > limits.MAX_PIXELS:
                raise limits.too_large(
                    source.file, f"frames of {frame.width} x {frame.height} pixels"
                )
            if scan.total in wanted:
                size = size or (frame.width, frame.height)
                light = light_of(frame)
                scan.pictures[scan.total] = picture(frame, size, light)
                scan.hdr = scan.hdr or light.hdr
            scan.stamps_s.append(None if source.timeless else stamp_s)
            scan.last_duration_s = _seconds(frame.duration, stream) or 0.0
    return scan


def _decoded(
    container: InputContainer, stream: VideoStream, decoder: Any
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
            for frame in decoder.decode(packet):
                yield frame, _seconds(frame.pts, stream)
        except av.error.EOFError:
            pass
        except av.error.FFmpegError:
            yield None, None if packet is None else _seconds(packet.pts, stream)


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
        yield CaveatKind.VIDEO_BROKEN_TAIL.caveat(file=name, ended=f"{end_s:.2f}{of}", total=total)
    if skipped := len(scan.losses) - at_end:
        yield CaveatKind.VIDEO_FRAMES_SKIPPED.caveat(file=name, skipped=skipped, total=total)
    if estimated:
        yield CaveatKind.VIDEO_TIMES_ESTIMATED.caveat(
            file=name, estimated=estimated, total=total, rate=scan.rate
        )
    if scan.hdr:
        yield CaveatKind.VIDEO_TONE_MAPPED.caveat(file=name, curve=scan.hdr)
