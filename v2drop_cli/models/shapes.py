"""Pictures that a family's processor cannot take for their shape, refused before any work.

The processors of transformers raise deep inside, without the file's name, or make no token at all
of a picture that is too thin. The rules here are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from v2drop_cli.errors import MediaArgumentError

if TYPE_CHECKING:
    from v2drop_cli.media import Media

_MOST_TO_ONE = 200
_CHANNELS = (1, 3)
_HALVES = 2


def check_ratio(config: Any, media: Sequence[Media], enlarged: Sequence[str]) -> None:
    """Refuse what is longer than 200 to 1, as M-RoPE families' processors do.

    Args:
        config: the model's.
        media: what is shown.
        enlarged: kinds whose short side is made as long as a token's before that is measured;
            rounding then makes some pictures thinner and some thicker.

    Raises:
        MediaArgumentError: a picture, or frames of a video, beyond the limit.
    """
    vision = config.vision_config
    token = vision.patch_size * vision.spatial_merge_size if enlarged else 1
    for item in media:
        sides = item.frames[0].size
        least = token if item.kind in enlarged else 1
        if min(sides) < least:
            scale = max(least / side for side in sides)
            sides = (int(sides[0] * scale), int(sides[1] * scale))
        if max(sides) / min(sides) > _MOST_TO_ONE:
            raise _too_thin(config, item, f"{_MOST_TO_ONE} to 1", _MOST_TO_ONE)


def check_thin(processor: Any, config: Any, media: Sequence[Media]) -> None:
    """Refuse what shrinks to nothing: Pixtral's processor fits the long side, and rounds down.

    Raises:
        MediaArgumentError: a picture whose short side would have no pixel left.
    """
    size = getattr(getattr(processor, "image_processor", None), "size", None)
    if size is None:
        return
    edge = size.get("longest_edge") or max(size.get("height"), size.get("width"))
    for item in media:
        sides = item.frames[0].size
        ratio = max(sides) / edge
        if ratio > 1 and math.floor(min(sides) / ratio) == 0:
            raise _too_thin(config, item, f"{edge} to 1", edge)


def check_padded(processor: Any, config: Any, media: Sequence[Media]) -> None:
    """Refuse what shrinks to nothing where the long side is fitted to a square, and rounded.

    Raises:
        MediaArgumentError: a picture whose short side would have no pixel left.
    """
    size = getattr(getattr(processor, "image_processor", None), "size", None)
    if size is None:
        return
    edge = size.get("height")
    for item in media:
        sides = item.frames[0].size
        if round(min(sides) * (edge / max(sides))) == 0:
            raise _too_thin(config, item, f"{2 * edge} to 1", 2 * edge - 1)


def check_quartered(processor: Any, media: Sequence[Media]) -> None:
    """Refuse what cannot be cut in halves: Idefics2's processor cuts before it enlarges.

    Raises:
        MediaArgumentError: a picture with a side of one pixel, where pictures are cut.
    """
    if not getattr(getattr(processor, "image_processor", None), "do_image_splitting", False):
        return
    for item in media:
        width, height = item.frames[0].size
        if min(width, height) < _HALVES:
            raise MediaArgumentError(
                f"{item.path.name} is {width} x {height} pixels, and its quarters would have none",
                hint=f"make each side {_HALVES} pixels and more",
            )


def check_patches(
    processor: Any, media: Sequence[Media], patches: Callable[[Any, int, int], int]
) -> None:
    """Refuse what would be more patches than the processor has room for.

    Args:
        processor: the model's.
        media: what is shown.
        patches: how many the image processor makes of a width and a height.

    Raises:
        MediaArgumentError: a picture so thin that it is rounded to more.
    """
    images = getattr(processor, "image_processor", None)
    most = getattr(images, "max_num_patches", None)
    if most is None:
        return
    for item in media:
        width, height = item.frames[0].size
        made = patches(images, width, height)
        if made <= most:
            continue
        least = max(width, height)
        while patches(images, *_with_short(width, height, least - 1)) <= most:
            least -= 1
        raise MediaArgumentError(
            f"{item.path.name} is {width} x {height} pixels, which would become {made} patches of "
            f"at most {most}",
            hint=f"crop it, or widen its short side to {least} pixels and more",
        )


def check_patch_grid(processor: Any, config: Any, media: Sequence[Media]) -> None:
    """Refuse what would have no patch left along its short side: Nemotron Omni's rounds down.

    Raises:
        MediaArgumentError: a picture more times as long as it has patches in all.
    """
    images: Any = getattr(processor, "image_processor", None)
    if getattr(images, "max_model_len", None) is None:
        return
    merge = round(1 / images.downsample_ratio)
    most = max((images.max_model_len - 4) * merge**2, images.min_num_patches * len(media))
    most = max(min(most, images.max_num_patches or most), images.min_num_patches)
    for item in media:
        short, long = (
            round(side / images.patch_size + 0.5) for side in sorted(item.frames[0].size)
        )
        if math.floor(min(math.sqrt(most / (short * long)), 1) * short) == 0:
            width, height = item.frames[0].size
            least = (math.ceil(long / most) - 1) * images.patch_size + 1
            raise MediaArgumentError(
                f"{item.path.name} is {width} x {height} pixels, and none would be left along its "
                f"short side in the {most} patches that {config.model_type} models take",
                hint=f"crop it, or widen its short side to {least} pixels and more",
            )


def _with_short(width: int, height: int, short: int) -> tuple[int, int]:
    return (width, short) if height <= width else (short, height)


def check_rows(media: Sequence[Media]) -> None:
    """Refuse what has as many rows as pictures have colour channels.

    transformers (5.17 to 5.24) makes arrays of video frames, and of Video-LLaVA's images, and
    guesses from their sides which one holds the channels: it would see noise.

    Raises:
        MediaArgumentError: pictures of 1 or 3 rows.
    """
    for item in media:
        width, height = item.frames[0].size
        if height in _CHANNELS:
            raise MediaArgumentError(
                f"{item.path.name} is {width} x {height} pixels, and transformers would take "
                f"{height} row{'s' * (height > 1)} for colour channels",
                hint="scale it to 4 rows of pixels and more",
            )


def _too_thin(config: Any, item: Media, limit: str, most: int) -> MediaArgumentError:
    width, height = item.frames[0].size
    least = max(math.ceil(max(width, height) / most), min(width, height) + 1)
    return MediaArgumentError(
        f"{item.path.name} is {width} x {height} pixels; "
        f"{config.model_type} models take nothing longer than {limit}",
        hint=f"crop it, or widen its short side to {least} pixels and more",
    )
