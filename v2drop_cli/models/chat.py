"""What families share in making a prompt: the chat turn, and media as processors take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaArgumentError, UsageError
from v2drop_cli.models.picture_limits import check_media

if TYPE_CHECKING:
    from torch import Tensor

    from v2drop_cli.media import Media

# Frame times go to the processor as indices at this rate: exact to the millisecond.
_TICKS_PER_S = 1000


def process(
    processor: Any, config: Any, media: Sequence[Media], prompt: str, fallback: str | None = None
) -> Mapping[str, Tensor]:
    """One user turn through a processor that takes images and videos; see :func:`chat_text`."""
    text = chat_text(processor, media, prompt, fallback)
    check_media(processor, media)
    return dict(processor(text=[text], return_tensors="pt", **media_arguments(media)))


def process_images(
    processor: Any,
    config: Any,
    media: Sequence[Media],
    prompt: str,
    fallback: str | None = None,
) -> Mapping[str, Tensor]:
    """The same for a model that takes images only.

    Raises:
        MediaArgumentError: a video is among the media.
    """
    if any(item.kind == "video" for item in media):
        raise MediaArgumentError(
            f"{config.model_type} models take no video",
            hint="pass frames of it as --image, or choose a model that does: v2drop models",
        )
    return process(processor, config, media, prompt, fallback)


def chat_text(
    processor: Any,
    media: Sequence[Media],
    prompt: str,
    fallback: str | None = None,
    template: str | None = None,
) -> str:
    """One user turn, media first, through the processor's own chat template.

    Args:
        processor: the model's.
        media: what the turn shows, in order.
        prompt: the question.
        fallback: a template for checkpoints saved without one.
        template: a template to use instead of the processor's own.
    """
    check_prompt(processor, prompt)
    content: list[dict[str, str]] = [{"type": item.kind} for item in media]
    content.append({"type": "text", "text": prompt})
    text: str = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        chat_template=template or processor.chat_template or fallback,
    )
    return text


def check_prompt(processor: Any, prompt: str) -> None:
    """Raise :class:`UsageError` for a prompt that places pictures itself."""
    for kind in ("image", "video"):
        token = getattr(processor, f"{kind}_token", None)
        if isinstance(token, str) and token in prompt:
            raise UsageError(
                f"the prompt holds the placeholder {token!r}",
                hint="pictures are placed before the prompt; leave it out",
            )


def media_arguments(media: Sequence[Media]) -> dict[str, Any]:
    """Images and videos as a processor's arguments; the frames are chosen already."""
    images = [item.frames[0] for item in media if item.kind == "image"]
    videos = [item for item in media if item.kind == "video"]
    # Nested, one list a prompt: some processors treat several images of one prompt differently.
    arguments: dict[str, Any] = {"images": [images]} if images else {}
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
