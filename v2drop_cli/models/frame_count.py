"""How many frames of a video to show when nobody said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from v2drop_cli.errors import MediaArgumentError
from v2drop_cli.media import Media, load_video
from v2drop_cli.models.base import LoadedModel
from v2drop_cli.models.context_length import context_of
from v2drop_cli.models.inputs import Inputs
from v2drop_cli.records import CaveatKind


def fitting(loaded: LoadedModel, video: Media, prompt: str, new_tokens: int) -> Media:
    """``video`` with as many of its frames as the model's context holds, evenly spread again.

    Args:
        loaded: the model.
        video: with the frames that are taken if there is room.
        prompt: the question.
        new_tokens: places to leave for the answer.

    Returns:
        ``video``, or one of fewer frames with a caveat that says so. Where not even the fewest
        frames that the model takes have room, those.
    """
    context = context_of(loaded.model.config)
    if context is None:
        return video
    room = context - new_tokens
    found, inputs = video, loaded.prepare([video], prompt)
    if _length(inputs) <= room:
        return video
    for fewer in _fewer(len(video.frames), inputs, room):
        candidate = load_video(video.path, fewer)
        try:
            inputs = loaded.prepare([candidate], prompt)
        except MediaArgumentError:  # fewer than this model takes
            break
        found = candidate
        if _length(inputs) <= room:
            break
    if found is video:
        return video
    caveat = CaveatKind.FEWER_FRAMES.caveat(
        file=video.path.name,
        used=len(found.frames),
        asked=len(video.frames),
        context=context,
    )
    return replace(found, caveats=(*found.caveats, caveat))


def _length(inputs: Inputs) -> int:
    return int(inputs.tensors["input_ids"].shape[1])


def _fewer(frames: int, inputs: Inputs, room: int) -> Iterator[int]:
    """Numbers of frames to try, the most first: about as many as there is room for."""
    vision = sum(inputs.vision.counts)
    words = _length(inputs) - vision
    fit = (room - words) * frames // max(vision, 1)
    # One more than fits by this count: frames may be shown by twos or fours. Not one at once:
    # some models take no video of one frame.
    yield from range(min(frames - 1, max(fit + 1, 2)), 0, -1)
