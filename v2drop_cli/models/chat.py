"""What families share in making a prompt: the chat turn, and media as processors take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaArgumentError, UsageError
from v2drop_cli.models.picture_limits import check_media
from v2drop_cli.models.shapes import check_rows
from v2drop_cli.models.templates import Turn, place_of, render
from v2drop_cli.models.user_text import as_text, control_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from v2drop_cli.media import Media

# Frame times go to the processor as indices at this rate: exact to the millisecond.
_TICKS_PER_S = 1000


def process(
    processor: Any,
    config: Any,
    media: Sequence[Media],
    prompt: str,
    fallback: str | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """One user turn, media first, through a processor that takes images and videos.

    Args:
        processor: the model's.
        config: the model's.
        media: what the turn shows, in order.
        prompt: the question.
        fallback: a template for checkpoints saved without one.
        options: further arguments of the processor.
    """
    check_media(processor, media)
    turn = Turn([item.kind for item in media], prompt, fallback)
    return ask(processor, turn, {**media_arguments(media), **options})


def process_images(
    processor: Any,
    config: Any,
    media: Sequence[Media],
    prompt: str,
    fallback: str | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """The same for a model that takes images only.

    Raises:
        MediaArgumentError: a video is among the media.
    """
    refuse_video(config, media)
    return process(processor, config, media, prompt, fallback, **options)


def refuse_video(config: Any, media: Sequence[Media]) -> None:
    """Raise :class:`MediaArgumentError` where a video is among the media of an image model."""
    if any(item.kind == "video" for item in media):
        raise MediaArgumentError(
            f"{config.model_type} models take no video",
            hint="pass frames of it as --image, or choose a model that does: v2drop models",
        )


def ask(processor: Any, turn: Turn, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of one user turn: the ids of ``processor.apply_chat_template(tokenize=True)``.

    Args:
        processor: the model's.
        turn: what is asked.
        arguments: what is shown, as the processor takes it.

    Raises:
        UsageError: the prompt places pictures itself, or holds a control token that this
            tokenizer does not read as text.
        ModelError: the checkpoint has no chat template that shows these media.
    """
    check_prompt(processor, turn.prompt)

    def call(processor: Any, words: str) -> dict[str, Tensor]:
        text = render(processor, replace(turn, prompt=words))
        options = _begins_itself(processor, text)
        found = dict(processor(text=[text], return_tensors="pt", **options, **arguments))
        found.pop("video_metadata", None)  # where the processor was asked for it: no tensor
        return found

    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is not None and control_tokens(tokenizer, turn.prompt):
        return as_text(processor, turn.prompt, call)
    return call(processor, turn.prompt)


def _begins_itself(processor: Any, text: str) -> dict[str, Any]:
    """No second begin token where the template wrote one, as transformers decides it."""
    begin = getattr(getattr(processor, "tokenizer", None), "bos_token", None)
    return {"add_special_tokens": False} if begin and text.startswith(begin) else {}


def check_prompt(processor: Any, prompt: str) -> None:
    """Raise :class:`UsageError` for a prompt that places pictures itself."""
    tokens = [getattr(processor, f"{kind}_token", None) for kind in ("image", "video")]
    for token in (*tokens, place_of(processor, "image")):
        if isinstance(token, str) and token in prompt:
            raise UsageError(
                f"the prompt holds the placeholder {token!r}",
                hint="pictures are placed before the prompt; leave it out",
            )


def media_arguments(media: Sequence[Media]) -> dict[str, Any]:
    """Images and videos as a processor's arguments; the frames are chosen already.

    Raises:
        MediaArgumentError: video frames that a processor would misread.
    """
    images = [item.frames[0] for item in media if item.kind == "image"]
    videos = [item for item in media if item.kind == "video"]
    # Nested, one list a prompt: some processors treat several images of one prompt differently.
    arguments: dict[str, Any] = {"images": [images]} if images else {}
    check_rows(videos)
    if videos:
        arguments["videos"] = [list(video.frames) for video in videos]
        arguments["video_metadata"] = [_metadata(video) for video in videos]
        arguments["do_sample_frames"] = False
    return arguments


def _metadata(video: Media) -> Any:
    from transformers.video_utils import VideoMetadata

    ticks = [round(time * _TICKS_PER_S) for time in video.frame_times_s or (0.0,)]
    # Frames are evenly spread, so the last one lasts as long as the mean of the others.
    step = (ticks[-1] - ticks[0]) / (len(ticks) - 1) if len(ticks) > 1 else _TICKS_PER_S
    total = max(round(step * len(ticks)), len(ticks))
    return VideoMetadata(
        total_num_frames=total,
        fps=_TICKS_PER_S,
        width=video.width,
        height=video.height,
        duration=total / _TICKS_PER_S,
        frames_indices=ticks,
    )
