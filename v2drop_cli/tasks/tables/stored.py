"""Pictures and videos as tables keep them: bytes, the name of a file, or both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from v2drop_cli.errors import MediaError, V2DropError
from v2drop_cli.media import Media, load_image, load_video
from v2drop_cli.tasks.fields import MOST_MEDIA, shown


@dataclass(frozen=True, slots=True)
class Stored:
    """What one row shows.

    Attributes:
        where: what messages call the row.
        value: makes a file, or a list of some; those that are null are left out.
        kind: ``image`` or ``video``.
        folder: where files are named from.
    """

    where: str
    value: Callable[[], Any]
    kind: str
    folder: Path

    def __call__(self, frames: int) -> list[Media]:
        """Open it; of a video at most so many frames.

        Raises:
            MediaError: there is nothing, or it cannot be shown.
        """
        value = self.value()
        given = value if isinstance(value, list) else [value]
        found = [one for one in map(_inside, given) if one not in (None, "")]
        if not found:
            raise MediaError(f"{self.where}: no {self.kind}", hint="it is null there")
        if len(found) > MOST_MEDIA:
            raise MediaError(
                f"{self.where}: {len(found)} {self.kind}s, which are more than {MOST_MEDIA}"
            )
        return [self._open(one, frames) for one in found]

    def _open(self, value: Any, frames: int) -> Media:
        if isinstance(value, str):
            return self._load(self.folder / value, frames)
        if not isinstance(value, bytes):
            raise MediaError(f"{self.where}: {self.kind} {shown(value)} is no file, and no bytes")
        # The readers of pictures and videos go through files again and again.
        with tempfile.TemporaryDirectory(prefix="v2drop-") as folder:
            file = Path(folder) / self.kind
            file.write_bytes(value)
            called = f"the {self.kind} of {self.where}"
            try:
                media = self._load(file, frames)
            except V2DropError as error:
                said = error.message.replace(str(file), called)
                raise type(error)(said, hint=error.hint) from None
        return replace(media, path=Path(called))

    def _load(self, file: Path, frames: int) -> Media:
        return load_video(file, frames) if self.kind == "video" else load_image(file)


def _inside(value: Any) -> Any:
    """Of what ``datasets`` keeps the bytes, or else the path."""
    if not isinstance(value, Mapping):
        return value
    data = value.get("bytes")
    return value.get("path") if data is None else data
