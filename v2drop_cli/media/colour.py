"""A still picture's own colour space → sRGB, which is what vision towers were trained on."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from v2drop_cli.records import Caveat, CaveatKind

if TYPE_CHECKING:
    from PIL.Image import Image

_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
"""An ICC profile's name of its colour space → Pillow's mode for such pictures."""


def to_srgb(image: Image, profile: bytes | None, name: str) -> tuple[Image, list[Caveat]]:
    """``image`` (mode L, RGB, CMYK or LAB) as sRGB, read through its ICC ``profile``.

    Without a profile the numbers are taken as sRGB already, and a profile that says just that
    changes none of them: LittleCMS alone would move some by one. A profile that cannot be used
    is left out, with the caveat ``image_profile_ignored``.
    """
    if not profile:
        return image.convert("RGB"), []
    try:
        return _converted(image, profile), []
    except Exception as error:  # whatever LittleCMS finds in a broken profile, or Pillow lacks
        reason = " ".join(str(error).split()) or type(error).__name__
        caveat = CaveatKind.IMAGE_PROFILE_IGNORED.caveat(file=name, reason=reason)
        return image.convert("RGB"), [caveat]


def _converted(image: Image, profile: bytes) -> Image:
    from PIL import ImageCms

    source = ImageCms.getOpenProfile(io.BytesIO(profile))
    space = source.profile.xcolor_space.strip()
    mode = _MODES.get(space)
    if mode == "RGB" and image.mode == "L":  # grey, described by the profile of a screen
        image = image.convert("RGB")
    if mode != image.mode:
        raise ValueError(f"it is for {space} and the picture is {image.mode}")
    intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, srgb, mode, "RGB", intent)
    if mode in ("L", "RGB") and _changes_nothing(transform, mode):
        return image.convert("RGB")
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only None where it is applied in place
    return converted


def _changes_nothing(transform: Any, mode: str) -> bool:
    """Whether no colour moves by more than LittleCMS rounds."""
    import numpy as np
    from PIL import Image, ImageCms

    levels = np.linspace(0, 255, 17).astype(np.uint8)
    if mode == "L":
        probe = Image.fromarray(levels[None])
    else:
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        probe = Image.fromarray(grid.reshape(17, -1, 3))
    moved = ImageCms.applyTransform(probe, transform)
    assert moved is not None
    before, after = (np.asarray(each.convert("RGB"), np.int16) for each in (probe, moved))
    return bool(np.abs(after - before).max() <= 1)
