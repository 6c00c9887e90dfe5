"""A limit on the RAM of this process, as data."""

from __future__ import annotations

from budget.record import record


@record
class MemoryLimit:
    """One thing that keeps a process from using more RAM."""

    source: str
    """What sets it, for people: `memory.max of /sys/fs/cgroup/user.slice`."""
    total_bytes: int
    """What it allows altogether."""
    available_bytes: int
    """What it still allows now, memory that the kernel can reclaim counted as free."""
