"""Whether two reports can be compared: what was asked, of what hardware, with what software.

Refused is what makes them answers to different questions: another device, model, prompt or
amount of work. A difference of software only warns, because it is often the very thing to
compare. What one report does not know only warns too. What is neither named here as refused
nor as ignored warns, so that a field added to the records later is not overlooked.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from v2drop_cli.records import Caveat, CaveatKind, MediaRecord, Report
from v2drop_cli.records.caveats import OF_THE_MACHINE
from v2drop_cli.records.changes import Difference

_REFUSED_REQUEST = {
    "resolved_id": "model",
    "revision": "revision",
    "weights": "weights",
    "prompt": "prompt",
    "attn_implementation": "attention implementation",
    "dtype": "dtype",
    "device": "device",
    "batch_size": "batch size",
    "timed_new_tokens": "new tokens",
    "max_new_tokens": "most new tokens of an answer",
    "decode": "decode",
    "fake_quant": "fake quantisation",
}
# The alias says less than the resolved id; how often something was measured is not what.
# Spans are what the model made of the media, and their sizes are the arms' counts of tokens.
_IGNORED_REQUEST = {"model", "repeats", "warmup", "spans"}
_REFUSED_ON_CPU = {"cpu": "CPU", "torch_threads": "torch threads"}
_REFUSED_ON_GPU = {"device": "GPU", "gpu_uuid": "GPU UUID"}
_IGNORED_ENVIRONMENT = {"date", "sm_clock_mhz", "temperature_c"}
_TEXT_MOST = 60
_DIGITS, _NAME_MOST = 12, 20


def differences(a: Report, b: Report) -> tuple[Difference, ...]:
    """Everything that is not the same in both, the refused ones first."""
    found = [*_of_requests(a, b), *_of_environments(a, b), *_of_arms(a, b)]
    return tuple(sorted(found, key=lambda difference: not difference.refused))


def warnings(a: Report, b: Report) -> Iterator[Caveat]:
    """What the reader of any comparison of these two must know."""
    if a == b:
        yield CaveatKind.SAME_REPORT.caveat()
    for side, report in (("A", a), ("B", b)):
        if report.protocol is None:
            yield CaveatKind.NO_NULL.caveat(side=side)
        if report.partial:
            rounds = "1 round" if report.rounds == 1 else f"{report.rounds} rounds"
            yield CaveatKind.PARTIAL.caveat(side=side, why=report.ended_by, rounds=rounds)
        for caveat in report.warnings:
            if caveat.code in OF_THE_MACHINE:
                yield CaveatKind.OF_ONE_REPORT.caveat(
                    side=side, code=caveat.code, message=caveat.message
                )


def _of_requests(a: Report, b: Report) -> Iterator[Difference]:
    yield from _of_media(a.request.media, b.request.media)
    for field in dataclasses.fields(a.request):
        name = field.name
        if name in _IGNORED_REQUEST or name == "media":
            continue
        left, right = getattr(a.request, name), getattr(b.request, name)
        if name == "device":  # cuda:0 and cuda:1 may be one GPU, which its UUID tells
            left, right = left.split(":")[0], right.split(":")[0]
        if left != right:
            refused = name in _REFUSED_REQUEST and None not in (left, right)
            shown = _REFUSED_REQUEST.get(name, name.replace("_", " "))
            yield Difference(shown, _text(left), _text(right), refused)


def _of_environments(a: Report, b: Report) -> Iterator[Difference]:
    left, right = a.environment, b.environment
    on_cpu = a.request.device.startswith("cpu")
    decisive = _REFUSED_ON_CPU if on_cpu else _REFUSED_ON_GPU
    for name in {**dict.fromkeys(decisive), **left, **right}:
        one, other = left.get(name), right.get(name)
        if name == "gpu_uuid":  # NVML puts the kind of device in front, torch does not
            one, other = _bare(one), _bare(other)
        if name in decisive and (one is None or other is None):
            yield Difference(decisive[name], _text(one), _text(other), False)
        elif one != other and name not in _IGNORED_ENVIRONMENT:
            shown = decisive.get(name, name.replace("_", " "))
            yield Difference(shown, _text(one), _text(other), name in decisive)


def _bare(uuid: Any) -> Any:
    return uuid.removeprefix("GPU-").removeprefix("MIG-") if isinstance(uuid, str) else uuid


def _of_arms(a: Report, b: Report) -> Iterator[Difference]:
    others = {arm.label: arm for arm in b.arms}
    for arm in a.arms:
        other = others.get(arm.label)
        if other is None:
            continue
        ours, theirs = (
            {"method": one.method, "schedule": one.schedule, **one.parameters}
            for one in (arm, other)
        )
        for name in ours:
            if name in theirs and ours[name] != theirs[name]:  # older ones have no parameters
                said = _text(ours[name]), _text(theirs[name])
                yield Difference(f"{name} of {arm.label}", *said, False)


def _of_media(a: Sequence[MediaRecord], b: Sequence[MediaRecord]) -> Iterator[Difference]:
    """Files are told apart by their content, and only without a digest by their names.

    A digest that one report lacks (it is older) leaves open whether the content is the same.
    """
    pairs = tuple(zip(a, b, strict=False))
    if len(a) != len(b) or any(_facts(one, other) != _facts(other, one) for one, other in pairs):
        if len(a) == len(b) and all(_but_times(*pair) for pair in pairs):
            yield Difference("frame times", _moments(a, b), _moments(b, a), True)
        else:
            yield Difference("media", _named(a), _named(b), True)
    elif any((one.sha256 is None) != (other.sha256 is None) for one, other in pairs):
        yield Difference("media digest", _digests(a), _digests(b), False)


def _but_times(one: MediaRecord, other: MediaRecord) -> bool:
    """Whether they are the same file, of which other moments may have been shown."""
    left, right = _facts(one, other), _facts(other, one)
    return {**left, "frame_times_s": None} == {**right, "frame_times_s": None}


def _facts(record: MediaRecord, other: MediaRecord) -> dict[str, Any]:
    """What has to be the same in ``other``: content or else name, and how it was read."""
    facts = dataclasses.asdict(record)
    if record.sha256 is None or other.sha256 is None:
        return {**facts, "path": _name(record), "sha256": None}
    return {**facts, "path": None}


def _name(record: MediaRecord) -> str | None:
    """Without the folder it lay in."""
    return PurePath(record.path).name if record.path else None


def _named(media: Sequence[MediaRecord]) -> str | None:
    """Briefly: name, size, frames, and the beginning of the digest."""
    said = []
    for record in media:
        digest = f" sha256 {record.sha256[:_DIGITS]}" if record.sha256 else ""
        frames = f" {record.frames} frames" if record.frames > 1 else ""
        name = (_name(record) or "synthetic")[-_NAME_MOST:]
        said.append(f"{name} {record.width}x{record.height}{frames}{digest}")
    return _text(", ".join(said) or "none")


def _moments(media: Sequence[MediaRecord], others: Sequence[MediaRecord]) -> str:
    """Which frame of which file is the first of another moment, and when it is here."""
    for record, other in zip(media, others, strict=True):
        ours, theirs = (one.frame_times_s or () for one in (record, other))
        for number, (moment, its) in enumerate(itertools.zip_longest(ours, theirs)):
            if moment != its:
                name = (_name(record) or "synthetic")[-_NAME_MOST:]
                return f"{name} frame {number} {_at(moment)}"
    return "unknown"


def _at(moment: float | None) -> str:
    return "at an unknown time" if moment is None else f"at {moment:.6g} s"


def _digests(media: Sequence[MediaRecord]) -> str | None:
    known = [record.sha256[:_DIGITS] for record in media if record.sha256]
    return _text(", ".join(known)) if known else None


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= _TEXT_MOST else f"{text[: _TEXT_MOST - 3]}..."
