"""Memory limits of containers, read from made-up file trees."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from v2drop_cli.container import container_limit, container_room
from v2drop_cli.measure import environment
from v2drop_cli.models.devices import free_memory

GIB = 1 << 30
CPU = torch.device("cpu")
V2_MOUNT = "29 23 0:26 {group} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNTS = (
    "33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu",
    "34 31 0:31 {group} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
)
UNLIMITED_V1 = 9223372036854771712


class Machine:
    """A root folder with `proc` and `sys`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("proc/meminfo", f"MemTotal: {64 * GIB // 1024} kB\nMemAvailable: {32 * GIB // 1024} kB\n")  # fmt: skip # noqa: E501

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def version_2(self, group: str, mounted: str = "/") -> None:
        self.write("proc/self/cgroup", f"0::{group}\n")
        self.write("proc/self/mountinfo", V2_MOUNT.format(group=mounted) + "\n")

    def version_1(self, group: str, mounted: str = "/") -> None:
        self.write("proc/self/cgroup", f"9:name=systemd:/\n8:cpu,cpuacct:/\n4:memory:{group}\n")
        lines = [line.format(group=mounted) for line in V1_MOUNTS]
        self.write("proc/self/mountinfo", "\n".join(lines) + "\n")

    def v2_group(self, folder: str, limit: object, used: int, inactive: int = 0) -> None:
        base = f"sys/fs/cgroup/{folder}"
        self.write(f"{base}/memory.max", f"{limit}\n")
        self.write(f"{base}/memory.current", f"{used}\n")
        self.write(f"{base}/memory.stat", f"anon {used}\ninactive_file {inactive}\n")

    def v1_group(self, folder: str, limit: int, used: int, inactive: int = 0) -> None:
        base = f"sys/fs/cgroup/memory/{folder}"
        self.write(f"{base}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{base}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"{base}/memory.stat", f"inactive_file 1\ntotal_inactive_file {inactive}\n")

    def told(self) -> tuple[int | None, int | None]:
        return container_limit(self.root), container_room(self.root)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_control_groups_the_machine_counts(machine):
    assert machine.told() == (None, None)
    assert free_memory(CPU, machine.root) == 32 * GIB


def test_a_container_of_version_2_sees_its_own_group_as_the_root(machine):
    machine.version_2("/")
    machine.v2_group("", 8 * GIB, 3 * GIB)
    assert machine.told() == (8 * GIB, 5 * GIB)
    assert free_memory(CPU, machine.root) == 5 * GIB


def test_file_pages_that_are_free_to_go_are_not_used(machine):
    """A checkpoint that was just read fills the cache of pages, which gives way."""
    machine.version_2("/")
    machine.v2_group("", 8 * GIB, 7 * GIB, inactive=6 * GIB)
    assert machine.told() == (8 * GIB, 7 * GIB)


def test_the_tightest_of_nested_groups_counts(machine):
    machine.version_2("/pod/box/job")
    machine.v2_group("pod/box/job", "max", 1 * GIB)
    machine.v2_group("pod/box", 16 * GIB, 2 * GIB)
    machine.v2_group("pod", 20 * GIB, 17 * GIB)
    assert machine.told() == (16 * GIB, 3 * GIB)


def test_no_limit_is_no_limit(machine):
    machine.version_2("/user.slice")
    machine.v2_group("user.slice", "max", 1 * GIB)
    assert machine.told() == (None, None)
    assert free_memory(CPU, machine.root) == 32 * GIB


def test_a_limit_above_what_the_machine_has(machine):
    machine.version_2("/")
    machine.v2_group("", 500 * GIB, 1 * GIB)
    assert free_memory(CPU, machine.root) == 32 * GIB


def test_more_in_use_than_the_limit_is_no_room(machine):
    machine.version_2("/")
    machine.v2_group("", 1 * GIB, 2 * GIB)
    assert machine.told() == (1 * GIB, 0)


@pytest.mark.parametrize(
    ("group", "mounted"),
    [
        ("/docker/0123", "/docker/0123"),  # a container with the host's view of groups
        ("/docker/0123", "/"),
        ("/../../elsewhere", "/"),  # a namespace that the process was moved out of
        ("/elsewhere", "/docker/0123"),
    ],
)
def test_where_the_group_is_under_the_mount(machine, group, mounted):
    inside = "docker/0123" if (group, mounted) == ("/docker/0123", "/") else ""
    for make, fill in (
        (machine.version_1, machine.v1_group),
        (machine.version_2, machine.v2_group),
    ):
        make(group, mounted)
        fill(inside, 4 * GIB, 1 * GIB)
        assert machine.told() == (4 * GIB, 3 * GIB)


def test_version_1(machine):
    machine.version_1("/box/job")
    machine.v1_group("", UNLIMITED_V1, 40 * GIB)
    machine.v1_group("box", 6 * GIB, 4 * GIB, inactive=1 * GIB)
    machine.v1_group("box/job", UNLIMITED_V1, 1 * GIB)
    assert machine.told() == (6 * GIB, 3 * GIB)
    assert free_memory(CPU, machine.root) == 3 * GIB


def test_both_versions_at_once(machine):
    """Hybrid machines: memory is in version 1, and version 2 is mounted beside it without."""
    machine.version_1("/box")
    machine.v1_group("box", 6 * GIB, 4 * GIB)
    for name, line in (
        ("cgroup", "0::/box"),
        ("mountinfo", "40 31 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"),
    ):
        path = machine.root / "proc/self" / name
        path.write_text(path.read_text() + line + "\n")
    assert machine.told() == (6 * GIB, 2 * GIB)


@pytest.mark.parametrize("text", ["", "garbage", "::\n", "0:\n", "1:memory\n"])
def test_unreadable_tables_are_no_limit(machine, text):
    machine.write("proc/self/cgroup", text)
    machine.write("proc/self/mountinfo", text)
    assert machine.told() == (None, None)


def test_a_group_that_tells_half(machine):
    machine.version_2("/")
    machine.write("sys/fs/cgroup/memory.max", str(4 * GIB))
    assert machine.told() == (4 * GIB, 4 * GIB)


def test_a_machine_that_tells_no_memory(tmp_path):
    assert free_memory(CPU, tmp_path) is None
    machine = Machine(tmp_path)
    machine.write("proc/meminfo", "MemTotal: 1 kB")
    assert free_memory(CPU, tmp_path) is None


def test_the_environment_tells_the_containers_memory(machine):
    whole = environment._system_memory(machine.root)
    machine.version_2("/")
    machine.v2_group("", 1 << 20, 0)
    assert environment._system_memory(machine.root) == 1 << 20 < whole


def test_this_machine_whatever_it_is():
    limit, room = container_limit(), container_room()
    assert (limit is None) == (room is None)
    assert free_memory(CPU) > 0
