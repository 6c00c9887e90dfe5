"""Machines whose GPU has no memory of its own: RAM and GPU are one pool, held once."""

from __future__ import annotations

from collections.abc import Mapping

from budget.machine.device import Machine
from budget.planning.budget import HOST, Budget
from budget.planning.usage import Shortfall, Usage

POOL = "unified memory"
"""The pool, where a device is named."""


def pool_bytes(machine: Machine, budget: Budget) -> int | None:
    """What RAM and the devices that share it may hold together; None where nothing shares it, or no cap says so.

    `auto` takes the RAM that is free now; caps given by hand are held against all RAM. An AMD APU has a part of
    memory set aside that the host does not count as RAM, so what its driver offers is the pool where it is more.
    """
    shared = [d for d in machine.devices if d.unified]
    if not shared or budget.mode in ("unlimited", "combined"):
        return None
    host = machine.host
    ram = host.ram_available_bytes if budget.mode == "auto" else host.ram_total_bytes
    set_aside = [d.free_bytes or 0 for d in shared if d.backend == "hip"]
    return None if ram is None else max(ram, *set_aside, 0)


def pool_shortfall(
    machine: Machine,
    budget: Budget,
    required: Usage,
    reserves: Mapping[str, int],
    used: Usage,
    reclaim: Usage,
    *,
    twice_bytes: int = 0,
) -> Shortfall | None:
    """By how much everything in the pool together is more than it holds, short or not; None without a pool.

    Args:
        required: bytes per device, what is left free included.
        reserves: the part of it that is left free; in one memory it is left free once.
        used: what residents claim.
        reclaim: what comes back.
        twice_bytes: pages of the file that are mapped for RAM and for a device, and counted on both.
    """
    size = pool_bytes(machine, budget)
    if size is None:
        return None
    names = {HOST, *(d.name for d in machine.devices if d.unified)}

    def inside(usage: Usage) -> list[int]:
        return [n for name, n in usage.items() if name in names]

    if not any(required.get(name) for name in names - {HOST}):
        return None
    kept = inside(reserves)
    need = sum(inside(required)) - sum(kept) + max(kept, default=0) - twice_bytes
    available = max(size - sum(inside(used)) + sum(inside(reclaim)), 0)
    return Shortfall(device=POOL, required_bytes=need, available_bytes=available)
