"""Memory limits of control groups, versions 1 and 2, from this process's own group up to the root.

Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.high, memory.current,
memory.stat) and cgroup-v1/memory.rst (memory.limit_in_bytes, memory.usage_in_bytes, total_* of memory.stat).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from budget.machine.probe.files import read_int, read_table, read_text
from budget.machine.probe.limit import MemoryLimit
from budget.record import record

V1_NO_LIMIT_BYTES = 1 << 60
"""v1 writes "no limit" as the largest page-aligned int64; nothing real is this large."""


@record
class _Mount:
    version: int
    group_root: str
    """The part of the hierarchy that is mounted: `/`, or a container's own group."""
    point: str


@record
class _Names:
    """What one version calls things."""

    limits: tuple[str, ...]
    usage: str
    reclaimable: tuple[str, ...]


_V1 = _Names(
    limits=("memory.limit_in_bytes",),
    usage="memory.usage_in_bytes",
    reclaimable=("total_inactive_file", "total_active_file"),
)
_V2 = _Names(
    # memory.high throttles before memory.max kills: a load above it crawls, so it is a limit too
    limits=("memory.max", "memory.high"),
    usage="memory.current",
    reclaimable=("inactive_file", "active_file", "slab_reclaimable"),
)


def cgroup_limits(root: Path = Path("/")) -> tuple[MemoryLimit, ...]:
    """Every finite memory limit on this process's groups, innermost first; empty where there is none.

    `root` is the directory that holds `proc` and every mount point.
    """
    paths = _group_paths(root)
    found: list[MemoryLimit] = []
    for mount in _mounts(root):
        path = paths.get(mount.version)
        if path is None:
            continue
        names = _V2 if mount.version == 2 else _V1
        for directory in _levels(root, mount, path):
            found += _limits_of(root, directory, names)
    return tuple(found)


def _group_paths(root: Path) -> dict[int, str]:
    """The path of this process's memory group by version, from /proc/self/cgroup."""
    paths = {}
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[2] = path
        elif "memory" in controllers.split(","):
            paths[1] = path
    return paths


def _mounts(root: Path) -> Iterator[_Mount]:
    """Mounted hierarchies that can hold a memory controller, from /proc/self/mountinfo (proc(5))."""
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, tail = before.split(), after.split()
        if len(fields) < 5 or not tail:
            continue
        group_root, point = _unescape(fields[3]), _unescape(fields[4])
        if tail[0] == "cgroup2":
            yield _Mount(version=2, group_root=group_root, point=point)
        elif tail[0] == "cgroup" and "memory" in tail[-1].split(","):
            yield _Mount(version=1, group_root=group_root, point=point)


def _unescape(text: str) -> str:
    """Undo octal escapes: mountinfo writes blanks so (proc(5))."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def _levels(root: Path, mount: _Mount, path: str) -> Iterator[Path]:
    """Directories from the process's own group up to the mount point.

    Inside a container the path can lie outside what is mounted (`/..`, or the host's path on a bind
    mount); the mount point itself is then the group.
    """
    point = root / mount.point.lstrip("/")
    group = PurePosixPath(path)
    if mount.group_root != "/" and group.is_relative_to(mount.group_root):
        group = PurePosixPath("/") / group.relative_to(mount.group_root)
    directory = point / str(group).lstrip("/")
    if ".." in group.parts or not directory.is_dir():
        directory = point
    while directory != point:
        yield directory
        directory = directory.parent
    yield point


def _limits_of(root: Path, directory: Path, names: _Names) -> Iterator[MemoryLimit]:
    for name in names.limits:
        limit_bytes = read_int(directory / name)  # "max" is no number: no limit
        if limit_bytes is None or limit_bytes < 0 or limit_bytes >= V1_NO_LIMIT_BYTES:
            continue
        used_bytes = read_int(directory / names.usage) or 0
        stat = read_table(directory / "memory.stat")
        reclaimable_bytes = sum(stat.get(key, 0) for key in names.reclaimable)
        held_bytes = max(0, used_bytes - reclaimable_bytes)
        yield MemoryLimit(
            source=f"{name} of /{directory.relative_to(root)}",
            total_bytes=limit_bytes,
            available_bytes=max(0, limit_bytes - held_bytes),
        )
