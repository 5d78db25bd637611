"""The pictures under a figure of kept tokens: small ones, and as text for SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from v2drop_cli.media import Media

# Longest side in a file: of one, a panel's width on a sharp screen. Of many, each is drawn smaller.
_SIDE, _LEAST = 480, 96
Images = Mapping[tuple[int, int], "Image"]


def pictures_of(media: Sequence[Media | None]) -> Images:
    """Every picture and frame that is there, made small, by (which medium, which frame)."""
    count = sum(len(item.frames) for item in media if item is not None)
    side = max(_LEAST, round(_SIDE / max(1, count) ** 0.5))
    return {
        (number, at): _small(frame, side)
        for number, item in enumerate(media)
        if item is not None
        for at, frame in enumerate(item.frames)
    }


def _small(picture: Image, side: int) -> Image:
    small = picture.convert("RGB")
    small.thumbnail((side, side))
    return small


def data_uris(pictures: Images) -> dict[tuple[int, int], str]:
    """The same as data URIs, in whichever of PNG and JPEG takes less."""
    return {key: _uri(picture) for key, picture in pictures.items()}


def _uri(picture: Image) -> str:
    forms = []
    for form, options in (("png", {"optimize": True}), ("jpeg", {"quality": 85})):
        stream = io.BytesIO()
        picture.save(stream, form, **options)
        forms.append((len(stream.getvalue()), form, stream.getvalue()))
    _, form, data = min(forms)
    return f"data:image/{form};base64,{base64.b64encode(data).decode('ascii')}"
