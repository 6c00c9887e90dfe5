"""Policy: how much of the memory that is there may be used, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from budget.errors import UsageError
from budget.machine.device import Host, Machine
from budget.planning.budget import HOST, UNLIMITED, Cap
from budget.planning.fit import Request
from budget.units import MiB

Auto = Literal["auto"]
MAX_RESIDENT_FRACTION = 0.8
"""`max_resident = auto`: this share of what is free, read at every question."""
RESERVE_LEAST_BYTES = 512 * MiB
RESERVE_FRACTION = 0.10
"""`reserve = auto`: this share of a GPU's total memory, at least 512 MiB, at most a quarter; nothing in RAM."""
HOST_COLD_FRACTION = 0.25
"""`host_cold = auto`: this share of the RAM that is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may be used of each device; the default policy holds nothing back."""

    max_resident: int | Auto | None = None
    """Most bytes that models may hold on one device; None is no limit, `auto` 80 % of what is free."""
    reserve: int | Auto = 0
    """Bytes to leave free on every device; `auto` 10 % of a GPU, at least 512 MiB."""
    headroom: float = 0.0
    """Share of what is left that stays unused, from 0 to below 1."""
    host_cold: int | Auto = 0
    """RAM that may hold K/V moved out of the cache, bytes; `auto` is a quarter of the free RAM."""
    min_hot_context: int = 0
    """Smallest useful context in the cache, tokens; 0 asks for none."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: a value out of range, by name.
        """
        for name in ("max_resident", "reserve", "host_cold", "min_hot_context"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 0:
                raise UsageError(f"{name} {value}: cannot be negative")
        if not 0 <= self.headroom < 1:
            raise UsageError(f"headroom {self.headroom}: must be from 0 to below 1", hint="such as 0.1")


def max_resident_bytes(policy: Policy, free_bytes: int | None) -> int | None:
    """Most bytes that models may hold on a device with `free_bytes` free; None where nothing limits it."""
    if policy.max_resident != "auto":
        return policy.max_resident
    return int(free_bytes * MAX_RESIDENT_FRACTION) if free_bytes else None


def reserve_bytes(policy: Policy, total_bytes: int | None, *, is_gpu: bool) -> int:
    """Bytes to leave free on a device of `total_bytes`."""
    if policy.reserve != "auto":
        return policy.reserve
    if not is_gpu:
        return 0
    if total_bytes is None:
        return RESERVE_LEAST_BYTES
    return min(max(RESERVE_LEAST_BYTES, int(total_bytes * RESERVE_FRACTION)), total_bytes // 4)


def host_cold_bytes(policy: Policy, host: Host) -> int:
    """RAM for cold K/V, bytes; 0 where free RAM is not known."""
    if policy.host_cold != "auto":
        return policy.host_cold
    return int((host.ram_available_bytes or 0) * HOST_COLD_FRACTION)


def usable_bytes(
    free_bytes: int,
    *,
    reserve_bytes: int = 0,
    max_resident_bytes: int | None = None,
    resident_bytes: int = 0,
    headroom: float = 0.0,
) -> int:
    """Bytes that models may use: the reserve is taken off first, then the limit of residents, then the headroom.

    Args:
        free_bytes: what the device has free.
        reserve_bytes: to be left free.
        max_resident_bytes: most that models may hold; None is no limit.
        resident_bytes: what residents hold of that limit already.
        headroom: share of what is left that stays unused.
    """
    usable = max(free_bytes - reserve_bytes, 0)
    if max_resident_bytes is not None:
        usable = min(usable, max(max_resident_bytes - resident_bytes, 0))
    return int(usable * (1 - headroom)) if headroom else usable


def apply_policy(request: Request, policy: Policy) -> Request:
    """`request` under `policy`: its caps lowered, and the reserve as a row of its own on every device.

    A cap that is not known stays unknown. An unlimited one becomes the limit of residents, where there is one.
    """
    budget, machine = request.budget, request.machine
    if budget.mode == "combined" and budget.combined_bytes is not None:
        reserves = {HOST: policy.reserve if isinstance(policy.reserve, int) else 0}
        pool = _cap(policy, budget.combined_bytes, budget.combined_bytes, reserves[HOST])
        budget = replace(budget, combined_bytes=pool if isinstance(pool, int) else None)
        return replace(request, budget=budget, reserve_bytes=0, reserves=reserves)
    reserves = _reserves(policy, machine)
    free = {d.name: d.free_bytes for d in machine.devices} | {HOST: machine.host.ram_available_bytes}
    if budget.mode == "unlimited" and policy.max_resident is None:
        return replace(request, reserves=reserves)
    names = budget.caps or free
    caps = {name: _cap(policy, budget.cap(name), free.get(name), reserves.get(name, 0)) for name in names}
    sources = {name: _source(budget.sources.get(name, "unlimited"), policy) for name in names}
    mode = "per_device" if budget.mode == "unlimited" else budget.mode
    return replace(
        request, budget=replace(budget, mode=mode, caps=caps, sources=sources), reserves=reserves
    )  # fmt: skip


def _reserves(policy: Policy, machine: Machine) -> dict[str, int]:
    sizes = {d.name: reserve_bytes(policy, d.total_bytes, is_gpu=d.kind != "cpu") for d in machine.devices}
    return sizes | {HOST: reserve_bytes(policy, machine.host.ram_total_bytes, is_gpu=False)}


def _cap(policy: Policy, cap: Cap, free_bytes: int | None, reserve: int) -> Cap:
    """The cap that leaves `usable_bytes` beside the reserve, which is a row of its own."""
    most = max_resident_bytes(policy, free_bytes)
    if cap is None or (cap is UNLIMITED and most is None):
        return cap
    if isinstance(cap, int):
        usable = usable_bytes(cap, reserve_bytes=reserve, max_resident_bytes=most, headroom=policy.headroom)
        return min(usable + reserve, cap)
    return usable_bytes(most or 0, headroom=policy.headroom) + reserve


def _source(source: str, policy: Policy) -> str:
    parts = [source]
    if policy.max_resident is not None:
        parts.append(f"max_resident {policy.max_resident}")
    if policy.headroom:
        parts.append(f"headroom {policy.headroom:g}")
    return ", ".join(parts)
