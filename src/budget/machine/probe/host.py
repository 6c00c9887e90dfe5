"""RAM of this host, inside every limit that holds for this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from budget.machine.device import Host
from budget.machine.probe.cgroup import cgroup_limits
from budget.machine.probe.cpu import cpu_features
from budget.machine.probe.files import read_table, read_text
from budget.machine.probe.limit import MemoryLimit
from budget.machine.probe.limits import overcommit_limits, slurm_limits, ulimits
from budget.units import KiB, format_size


def probe_host(
    root: Path = Path("/"),
    *,
    environ: Mapping[str, str] | None = None,
    platform: str = sys.platform,
    rlimits: tuple[MemoryLimit, ...] | None = None,
) -> tuple[Host, tuple[str, ...]]:
    """The host, and what is worth saying about it.

    Sizes are bytes; `ram_total_bytes` is the tightest limit that holds, `ram_available_bytes` what it still
    allows now. Both are None where the system says nothing.
    """
    if platform.startswith("linux"):
        ram = _linux_ram(root)
        limits = (*cgroup_limits(root), *overcommit_limits(root))
    else:
        ram = _other_ram(platform)
        limits = ()
    limits += slurm_limits(environ or {}) + (ulimits() if rlimits is None else rlimits)
    host = tightest(ram, limits, cpu_features=cpu_features(root, platform=platform))
    return host, _notes(ram, host, limits) + (_zfs_note(root) if platform.startswith("linux") else ())


def tightest(
    ram: tuple[int | None, int | None, str],
    limits: tuple[MemoryLimit, ...],
    *,
    cpu_features: tuple[str, ...] = (),
) -> Host:
    """The host whose RAM `(total, available, source)` is cut to the tightest of `limits`."""
    total_bytes, available_bytes, source = ram
    sources = {"ram_total_bytes": source, "ram_available_bytes": source}
    for limit in limits:
        if total_bytes is not None and limit.total_bytes < total_bytes:
            total_bytes, sources["ram_total_bytes"] = limit.total_bytes, limit.source
        if available_bytes is not None and limit.available_bytes < available_bytes:
            available_bytes, sources["ram_available_bytes"] = limit.available_bytes, limit.source
    if total_bytes is not None and available_bytes is not None:
        available_bytes = min(available_bytes, total_bytes)
    return Host(
        ram_total_bytes=total_bytes,
        ram_available_bytes=available_bytes,
        cpu_features=cpu_features,
        sources=sources,
    )


def _linux_ram(root: Path) -> tuple[int | None, int | None, str]:
    meminfo = read_table(root / "proc/meminfo")
    total, available = meminfo.get("MemTotal"), meminfo.get("MemAvailable")
    source = "MemTotal and MemAvailable of /proc/meminfo"
    gpu_total, gpu_free = gpu_node_memory(root)
    if gpu_total:
        source += ", less the nodes that are GPU memory"
    return (
        None if total is None else max(0, total * KiB - gpu_total),
        None if available is None else max(0, available * KiB - gpu_free),
        source,
    )


def gpu_node_memory(root: Path) -> tuple[int, int]:
    """(total, free) bytes of NUMA nodes that are a GPU's memory, as on GH200 and GB200; else zeros.

    Such a node has memory and no processor, on an ARM host with NVIDIA's driver. The kernel counts it in
    MemTotal, the driver counts it as the card's.
    """
    if not (root / "proc/driver/nvidia").exists() or "CPU implementer" not in (
        read_text(root / "proc/cpuinfo") or ""
    ):
        return 0, 0
    total = free = 0
    for node in (root / "sys/devices/system/node").glob("node[0-9]*"):
        if read_text(node / "cpulist") == "":
            rows = (line.split() for line in (read_text(node / "meminfo") or "").splitlines())
            table = {row[2].rstrip(":"): int(row[3]) for row in rows if len(row) >= 4 and row[3].isdigit()}
            total += table.get("MemTotal", 0) * KiB
            free += table.get("MemFree", 0) * KiB
    return total, free


def _other_ram(platform: str) -> tuple[int | None, int | None, str]:
    """RAM of macOS and Windows through psutil; on Windows also what can still be committed."""
    try:
        import psutil

        memory = psutil.virtual_memory()
    except (ImportError, OSError, RuntimeError) as error:
        return None, None, f"unknown: {error}"
    if platform == "win32":
        from budget.machine.probe.windows import commit_room_bytes

        room_bytes = commit_room_bytes()
        if room_bytes is not None and room_bytes < memory.available:
            return memory.total, room_bytes, "commit limit less commit total (GetPerformanceInfo)"
    return memory.total, memory.available, "psutil virtual_memory()"


def _notes(
    ram: tuple[int | None, int | None, str], host: Host, limits: tuple[MemoryLimit, ...]
) -> tuple[str, ...]:
    notes = []
    source = host.sources.get("ram_available_bytes", "")
    if host.ram_available_bytes is not None and ram[1] is not None and source != ram[2]:
        notes.append(
            f"RAM is limited by {source}: {format_size(host.ram_available_bytes)} can be used, "
            f"where the host has {format_size(ram[1])} available"
        )
    notes += [
        f"{limit.source} is set: CUDA reserves far more address space than it uses and may fail to start"
        for limit in limits
        if limit.source.startswith("RLIMIT_AS")
    ]
    return tuple(notes)


def _zfs_note(root: Path) -> tuple[str, ...]:
    """ZFS's cache shrinks on demand, yet MemAvailable counts it as used."""
    arc = _read_kstat(root / "proc/spl/kstat/zfs/arcstats")
    spare = arc.get("size", 0) - arc.get("c_min", 0)
    if spare < KiB * KiB:
        return ()
    return (f"the ZFS cache holds {format_size(spare)} that it would give back; it is counted as used here",)


def _read_kstat(path: Path) -> dict[str, int]:
    """Lines of a kstat file, `name type value`, as integers."""
    rows = (line.split() for line in (read_text(path) or "").splitlines())
    return {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[2].isdigit()}
