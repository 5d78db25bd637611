"""How much memory a container leaves to this process: control groups of version 1 and 2.

In a container ``/proc/meminfo`` tells the host's memory. The limit that ends the process stands
in the control groups it is in, and in every group around them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# Version 1 writes "no limit" as the largest multiple of a page.
_NO_LIMIT = 1 << 60


@dataclass(frozen=True, slots=True)
class Group:
    """One control group's memory.

    Attributes:
        limit: bytes at which its processes are ended.
        used: bytes in use, without file pages that are free to go.
    """

    limit: int
    used: int

    @property
    def room(self) -> int:
        """Bytes left."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class _Version:
    """Names of one version's files, in each group's folder."""

    filesystem: str
    limit: str
    used: str
    freeable: str


_V1 = _Version("cgroup", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Version("cgroup2", "memory.max", "memory.current", "inactive_file")


def container_room(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group around this process leaves; ``None`` without a limit.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    return min((group.room for group in limited_groups(root)), default=None)


def container_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group around this process may use; ``None`` without a limit."""
    return min((group.limit for group in limited_groups(root)), default=None)


def limited_groups(root: Path = Path("/")) -> Iterator[Group]:
    """The groups around this process that have a limit, from the inside out."""
    for version, path in _memberships(root):
        mounted = _mount(root, version)
        if mounted is None:
            continue
        for folder in _upwards(mounted[1], _below(path, mounted[0])):
            group = _read(folder, version)
            if group is not None:
                yield group


def _memberships(root: Path) -> Iterator[tuple[_Version, str]]:
    """The lines ``hierarchy:controllers:path`` that are about memory."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            yield _V2, path
        elif "memory" in controllers.split(","):
            yield _V1, path


def _mount(root: Path, version: _Version) -> tuple[str, Path] | None:
    """The group that is the mount's root, and where it is mounted."""
    for line in _text(root / "proc/self/mountinfo").splitlines():
        # "36 35 98:0 /group /mount/point rw,noatime … - filesystem source options"
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind or kind[0] != version.filesystem:
            continue
        if version is _V1 and "memory" not in kind[-1].split(","):
            continue
        return fields[3], root / fields[4].lstrip("/")
    return None


def _below(path: str, mounted: str) -> PurePosixPath:
    """``path`` as seen from the mount. A container may see its own group as the root of all."""
    full = PurePosixPath(path)
    if ".." in full.parts or not full.is_relative_to(mounted):
        return PurePosixPath(".")
    return full.relative_to(mounted)


def _upwards(top: Path, below: PurePosixPath) -> Iterator[Path]:
    yield top / below
    for parent in below.parents:
        yield top / parent


def _read(folder: Path, version: _Version) -> Group | None:
    limit = _text(folder / version.limit).strip()
    if not limit.isdigit() or int(limit) >= _NO_LIMIT:  # "max", or no such file
        return None
    used = _text(folder / version.used).strip()
    pairs = (line.split() for line in _text(folder / "memory.stat").splitlines())
    stat = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    freeable = stat.get(version.freeable, "0")
    taken = int(used) if used.isdigit() else 0
    return Group(int(limit), max(0, taken - int(freeable) if freeable.isdigit() else taken))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
