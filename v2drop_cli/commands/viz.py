"""``v2drop viz``: the figure of a report's kept tokens, and the pictures that lie under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2drop_cli.errors import V2DropError
from v2drop_cli.media import Media, load_image, load_video
from v2drop_cli.records import MediaRecord

if TYPE_CHECKING:
    from v2drop_cli.bench.scored import Ranks
    from v2drop_cli.commands.run import RunOptions
    from v2drop_cli.models.base import LoadedModel


@dataclass(frozen=True, slots=True)
class FoundMedia:
    """What of a report's media is still there.

    Attributes:
        media: one for each of the report's, ``None`` for what is not there or not the same.
        notes: what is not, and why.
    """

    media: tuple[Media | None, ...]
    notes: tuple[str, ...]


def find_media(records: Sequence[MediaRecord], beside: Path) -> FoundMedia:
    """Open the media of a report again, by path, and check them by hash.

    Args:
        records: as the report names them.
        beside: the report's folder: a path that leads nowhere from here may lead from there.
    """
    found: list[Media | None] = []
    notes: list[str] = []
    for record in records:
        medium, note = _opened(record, beside)
        found.append(medium)
        notes.extend([] if note is None else [note])
    return FoundMedia(tuple(found), tuple(dict.fromkeys(notes)))


def _opened(record: MediaRecord, beside: Path) -> tuple[Media | None, str | None]:
    if record.path is None:
        return None, "made-up media have no picture: a grey canvas stands for them"
    grey = "a grey canvas stands for it"
    if record.sha256 is None:
        return None, f"the report does not say which file {record.path} was: {grey}"
    paths = (Path(record.path), beside / record.path)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None, f"{record.path} is not there: {grey}"
    try:
        video = record.kind == "video"
        medium = load_video(path, record.frames) if video else load_image(path)
    except V2DropError as error:
        return None, f"{error.message}: {grey}"
    if medium.sha256 != record.sha256 or len(medium.frames) != record.frames:
        return None, f"{record.path} is another file now than the one measured: {grey}"
    return medium, None


def scores_of(loaded: LoadedModel, media: Sequence[Media], options: RunOptions) -> dict[str, Ranks]:
    """What each arm's method thought of each token, by the arm's label."""
    from v2drop_cli.bench.line_up import line_up  # torch comes with it; a report needs none
    from v2drop_cli.bench.passes import Passes, Subject
    from v2drop_cli.bench.scored import ranks
    from v2drop_cli.bench.watch import Watch
    from v2drop_cli.measure.nvml import Nvml

    subject = Subject(loaded, media, options.prompt, synthetic=options.synthetic)
    with Nvml(loaded.device) as nvml:
        passes = Passes(subject, nvml)
        arms = line_up(options.arms, passes, Watch())
        return {arm.label: ranks(loaded, passes.inputs, arm) for arm in arms}
