"""What memory may be used: unlimited, one pool, or a cap per device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from budget.errors import MachineError, UsageError
from budget.machine.device import Machine
from budget.units import parse_size

HOST = "CPU"
"""The host's RAM as a device name; `ram` in a budget means it."""
RAM_FRACTION = 0.8
"""Share of available RAM that `auto` gives: the rest covers other programs' growth and the page cache."""

Mode = Literal["auto", "combined", "per_device", "unlimited"]


class _Unlimited:
    """No cap at all; a value of its own because None means unknown."""

    def __repr__(self) -> str:
        return "unlimited"


UNLIMITED = _Unlimited()
Cap = int | _Unlimited | None
"""Bytes, UNLIMITED, or None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Byte caps, resolved against a machine."""

    mode: Mode
    text: str
    """As the user wrote it."""
    caps: Mapping[str, Cap] = field(default_factory=dict)
    """Device name to cap; empty for `combined` and `unlimited`."""
    combined_bytes: int | None = None
    """The one pool of mode `combined`."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Device name to where its cap comes from."""

    def cap(self, device: str) -> Cap:
        """Bytes that may be used on `device`; None where its memory is not known."""
        if self.mode in ("unlimited", "combined"):
            return UNLIMITED
        return self.caps.get(device)


def resolve_budget(text: str, machine: Machine) -> Budget:
    """The budget that `text` means on `machine`.

    `auto` is 80 % of usable RAM and the free memory of each GPU; `unlimited`; a size is one pool of RAM
    and VRAM together; a list caps single devices: `ram=64GiB,vram=24GiB:12GiB,CUDA1=auto`. A device that a
    list does not name is `auto`.

    Raises:
        UsageError: text that means nothing.
        MachineError: a device that is not there.
    """
    stripped = text.strip()
    if stripped == "unlimited":
        return Budget(mode="unlimited", text=text)
    if stripped == "auto":
        return _per_device(text, machine, {}, "auto")
    if "=" not in stripped:
        return Budget(mode="combined", text=text, combined_bytes=_size(stripped, text))
    return _per_device(text, machine, _entries(stripped, machine), "per_device")


def _size(value: str, text: str) -> int:
    try:
        return parse_size(value)
    except UsageError as e:
        raise UsageError(
            f"--budget {text!r}: {e.message}",
            hint="write auto, unlimited, a size such as 24GiB, or a list such as ram=64GiB,vram=24GiB",
        ) from e


def _entries(text: str, machine: Machine) -> dict[str, str]:
    """Device name to the text of its cap."""
    names = {d.name.lower(): d.name for d in machine.devices}
    gpus = [d.name for d in machine.devices if d.kind in ("gpu", "igpu")]
    entries: dict[str, str] = {}
    for part in text.split(","):
        key, sep, value = part.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not sep or not value:
            raise UsageError(
                f"--budget {text!r}: {part!r} is no DEVICE=SIZE", hint="such as vram=24GiB or CUDA0=10GiB"
            )
        if key in ("ram", "cpu", "host"):
            targets = {HOST: value}
        elif key == "vram":
            targets = _vram(value, gpus, text)
        elif key in names:
            targets = {names[key]: value}
        else:
            there = ", ".join(["ram", "vram", *names.values()])
            raise MachineError(f"--budget {text!r}: no device {key!r}", hint=f"devices here: {there}")
        for name, target in targets.items():
            if name in entries:
                raise UsageError(f"--budget {text!r}: {name} is capped twice")
            entries[name] = target
    return entries


def _vram(value: str, gpus: list[str], text: str) -> dict[str, str]:
    shares = re.split(":", value)
    if len(shares) == 1:
        return dict.fromkeys(gpus, value)
    if len(shares) > len(gpus):
        raise MachineError(
            f"--budget {text!r}: {len(shares)} GPU sizes for {len(gpus)} GPUs",
            hint="give one size for all, or one per GPU in order",
        )
    return dict(zip(gpus, shares, strict=False))


def _per_device(text: str, machine: Machine, entries: dict[str, str], mode: Mode) -> Budget:
    caps: dict[str, Cap] = {}
    sources: dict[str, str] = {}
    available = machine.host.ram_available_bytes
    automatic: dict[str, Cap] = {HOST: None if available is None else int(available * RAM_FRACTION)}
    origin = {HOST: f"{RAM_FRACTION:.0%} of available RAM"}
    for device in machine.devices:
        if device.kind in ("gpu", "igpu"):
            automatic[device.name] = device.free_bytes
            origin[device.name] = "free memory"
    for name, cap in automatic.items():
        entry = entries.get(name, "auto")
        if entry == "auto":
            caps[name], sources[name] = cap, origin[name]
        elif entry == "unlimited":
            caps[name], sources[name] = UNLIMITED, "unlimited"
        else:
            caps[name], sources[name] = _size(entry, text), "given"
    return Budget(mode=mode, text=text, caps=caps, sources=sources)
