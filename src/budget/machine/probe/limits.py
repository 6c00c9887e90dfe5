"""Limits on RAM that are not control groups: a Slurm job, ulimit, and strict overcommit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from budget.machine.probe.files import read_int, read_table
from budget.machine.probe.limit import MemoryLimit
from budget.units import KiB, MiB

NEVER_OVERCOMMIT = 2
"""vm.overcommit_memory: allocations beyond CommitLimit fail (proc_sys_vm(5))."""


def slurm_limits(environ: Mapping[str, str]) -> tuple[MemoryLimit, ...]:
    """The memory of this Slurm job on this node; empty outside a job or where it has the whole node.

    Source: sbatch(1): SLURM_MEM_PER_NODE and SLURM_MEM_PER_CPU are MiB; 0 means all of the node.
    """
    per_node = _whole(environ.get("SLURM_MEM_PER_NODE"))
    per_cpu = _whole(environ.get("SLURM_MEM_PER_CPU"))
    n_cpus = _whole(environ.get("SLURM_CPUS_ON_NODE"))
    if per_node:
        return (_fixed("SLURM_MEM_PER_NODE of this job", per_node * MiB),)
    if per_cpu and n_cpus:
        return (_fixed("SLURM_MEM_PER_CPU x SLURM_CPUS_ON_NODE of this job", per_cpu * n_cpus * MiB),)
    return ()


def overcommit_limits(root: Path = Path("/")) -> tuple[MemoryLimit, ...]:
    """The commit limit where `vm.overcommit_memory` is 2, else nothing."""
    if read_int(root / "proc/sys/vm/overcommit_memory") != NEVER_OVERCOMMIT:
        return ()
    meminfo = read_table(root / "proc/meminfo")
    limit, committed = meminfo.get("CommitLimit"), meminfo.get("Committed_AS")
    if limit is None or committed is None:
        return ()
    return (
        MemoryLimit(
            source="CommitLimit of /proc/meminfo (vm.overcommit_memory=2)",
            total_bytes=limit * KiB,
            available_bytes=max(0, limit - committed) * KiB,
        ),
    )


def ulimits(getrlimit: Callable[[str], int | None] | None = None) -> tuple[MemoryLimit, ...]:
    """Soft limits on address space and data of a process; empty where there are none.

    `getrlimit` answers bytes for `RLIMIT_AS` and `RLIMIT_DATA`, None for no limit.
    """
    return tuple(_ulimits(getrlimit or _getrlimit))


def _ulimits(getrlimit: Callable[[str], int | None]) -> Iterator[MemoryLimit]:
    for name, command in (("RLIMIT_AS", "ulimit -v"), ("RLIMIT_DATA", "ulimit -d")):
        limit_bytes = getrlimit(name)
        if limit_bytes is not None:
            yield _fixed(f"{name} ({command})", limit_bytes)


def _getrlimit(name: str) -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    number = getattr(resource, name, None)
    if number is None:
        return None
    soft, _ = resource.getrlimit(number)
    return None if soft == resource.RLIM_INFINITY or soft < 0 else soft


def _fixed(source: str, size_bytes: int) -> MemoryLimit:
    """A limit of a process that has not started: all of it is available."""
    return MemoryLimit(source=source, total_bytes=size_bytes, available_bytes=size_bytes)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
