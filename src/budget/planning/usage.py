"""Bytes per device: what models claim, and which devices a claim is too large for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from budget.errors import MachineError, UsageError
from budget.machine.device import Machine
from budget.nearest import one_of
from budget.planning.budget import HOST, HOST_NAMES, Budget
from budget.record import record
from budget.units import parse_size

Usage = Mapping[str, int]
"""Device name (`CUDA0`, `CPU`) to bytes claimed there."""
TOTAL = "total"
"""The one pool of a combined budget, where a device is named."""


@record
class Shortfall:
    """A device that must hold more than it may."""

    device: str
    """`CUDA0`, `CPU`, or `total` for a combined pool."""
    required_bytes: int
    available_bytes: int
    """Cap less what residents hold there, never negative."""

    @property
    def short_bytes(self) -> int:
        """By how much it falls short."""
        return self.required_bytes - self.available_bytes


def add_usage(*usages: Usage) -> dict[str, int]:
    """The sum of `usages` per device; empty without any."""
    total: dict[str, int] = {}
    for usage in usages:
        for device, size in usage.items():
            total[device] = total.get(device, 0) + size
    return total


def check(
    budget: Budget, required: Usage, used: Usage | None = None, *, reclaim: Usage | None = None
) -> tuple[Shortfall, ...]:
    """Every device on which `required` does not fit beside `used`; empty where all fits.

    A requirement of 0 fits everywhere, and one that fills a device to the byte fits. A device whose cap is not
    known cannot fall short: `unknown_devices` names it.

    Args:
        budget: byte caps.
        required: what the new model claims.
        used: what residents claim already.
        reclaim: bytes that come back because the new model replaces another.
    """
    used, reclaim = used or {}, reclaim or {}
    if budget.mode == "combined" and budget.combined_bytes is not None:
        available = max(budget.combined_bytes - sum(used.values()) + sum(reclaim.values()), 0)
        need = sum(required.values())
        if need <= available:
            return ()
        return (Shortfall(device=TOTAL, required_bytes=need, available_bytes=available),)
    failures = []
    for device, need in required.items():
        cap = budget.cap(device)
        if not isinstance(cap, int):
            continue
        available = max(cap - used.get(device, 0) + reclaim.get(device, 0), 0)
        if need > available:
            failures.append(Shortfall(device=device, required_bytes=need, available_bytes=available))
    return tuple(failures)


def unknown_devices(budget: Budget, required: Usage) -> tuple[str, ...]:
    """Devices that must hold something and whose cap is not known."""
    return tuple(device for device, need in required.items() if need and budget.cap(device) is None)


def parse_usage(text: str, machine: Machine, *, option: str = "--resident") -> dict[str, int]:
    """Bytes per device from `ram:2GiB,CUDA0:10GiB`; `vram:` means the only GPU.

    Raises:
        UsageError: text of another form, or a device named twice.
        MachineError: a device that is not there.
    """
    usage: dict[str, int] = {}
    for part in text.split(","):
        key, colon, size = part.rpartition(":")
        if not colon or not key.strip():
            raise UsageError(
                f"{option} {text!r}: {part!r} is no DEVICE:SIZE", hint="such as ram:2GiB,CUDA0:10GiB"
            )
        device = device_named(key.strip(), machine, context=f"{option} {text!r}")
        if device in usage:
            raise UsageError(f"{option} {text!r}: {device} is named twice")
        try:
            usage[device] = parse_size(size)
        except UsageError as e:
            raise e.at(f"{option} {text!r}") from e
    return usage


def device_named(key: str, machine: Machine, *, context: str) -> str:
    """llama.cpp's name of the device that a user calls `key`.

    Raises:
        MachineError: there is none; the hint lists those there are.
    """
    if key.lower() in HOST_NAMES:
        return HOST
    gpus = [d.name for d in machine.devices if d.kind in ("gpu", "igpu")]
    if key.lower() == "vram" and len(gpus) == 1:
        return gpus[0]
    for device in machine.devices:
        if key.lower() in (device.name.lower(), device.name.partition("[")[0].lower()):
            return device.name
    there = ["ram", *(d.name for d in machine.devices)]
    raise MachineError(f"{context}: no device {key!r}", hint=one_of(key, there, "devices here"))


def check_devices(usages: Iterable[tuple[str, Usage]], machine: Machine) -> None:
    """Every claim must lie on a device that is there.

    Raises:
        MachineError: names the claim and the device.
    """
    for name, usage in usages:
        for device in usage:
            device_named(device, machine, context=f"resident {name}")
