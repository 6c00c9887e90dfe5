"""Catalogue entries as devices and machines, and the rows of `budget hardware`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from budget.machine.catalog import (
    DEVICE_KINDS,
    MACHINE_KINDS,
    Entry,
    by_id,
    entries,
    memory_bytes,
    normal_name,
    resolve,
)
from budget.machine.device import Device, Host, Machine

USABLE_RAM = 0.97
"""MemTotal over the advertised RAM of a cloud machine: the kernel and the firmware keep 1 to 3 %; the lower
end."""

_BACKENDS = {"CUDA": "cuda", "ROCm": "hip", "Vulkan": "vulkan", "MTL": "metal", "SYCL": "sycl"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareRow:
    """One line of `budget hardware`."""

    id: str
    kind: str
    name: str
    memory_bytes: int | None
    """Of all its devices together; RAM where it has no device."""
    ram_bytes: int | None
    bandwidth_bytes_per_second: int | None
    confidence: str
    notes: str


def device_of(entry: Entry, *, name: str | None = None) -> Device:
    """The device that an entry of kind gpu, apu, soc or mig-profile is, with nothing else running on it."""
    backend = _BACKENDS[entry.llama_cpp_backends[0]]
    total_bytes = entry.plan_total_bytes
    free_bytes = total_bytes
    if entry.unified_memory and total_bytes is not None:
        ram_bytes = _ram_of(entry)
        free_bytes = total_bytes if ram_bytes is None else min(total_bytes, int(ram_bytes * USABLE_RAM))
    trust = "catalogue" if entry.confidence != "low" else "catalogue, low confidence"
    bandwidth = entry.memory_bandwidth_gbps
    rate_trust = entry.bandwidth_confidence or entry.confidence
    return Device(
        name=name or f"{entry.llama_cpp_backends[0]}0",
        kind="igpu" if entry.unified_memory and backend != "metal" else "gpu",
        backend=backend,
        description=entry.name,
        compute_capability=entry.compute_capability or entry.gfx,
        total_bytes=total_bytes,
        free_bytes=free_bytes,
        bandwidth_bytes_per_second=None if bandwidth is None else int(bandwidth * 10**9),
        unified=entry.unified_memory,
        sources={
            "total_bytes": f"{trust}: {entry.plan_basis}",
            "free_bytes": "catalogue: nothing else runs there",
            "bandwidth_bytes_per_second": f"catalogue, {rate_trust} confidence",
        },
    )


def resolve_device(text: str) -> Device:
    """The device that `text` names; MachineError as `resolve`."""
    return device_of(resolve(text))


def _ram_of(entry: Entry) -> int | None:
    """RAM behind a device that shares it: the chip's own, or what its driver shows as total."""
    if not entry.unified_memory:
        return None
    return entry.physical_bytes or entry.memory_bytes


def host_of(device: Device) -> Host | None:
    """The host that a unified device from the catalogue comes with; None for any other device."""
    found = [entry for entry in entries() if entry.unified_memory and entry.name == device.description]
    return machine_of(found[0]).host if found and found[0].kind in DEVICE_KINDS else None


def machine_of(entry: Entry, *, host: Host | None = None) -> Machine:
    """The whole machine an entry stands for, with nothing else running on it.

    A card alone (kind gpu or mig-profile) is put into `host`; without one, its RAM is unknown.
    """
    from budget.machine.describe import number_devices

    if entry.kind in ("machine", "instance", "ci-runner"):
        parts = [device_of(by_id(ref)) for ref, count in entry.gpus for _ in range(count)]
        ram_bytes = entry.ram_bytes
    else:
        parts, ram_bytes = [device_of(entry)], _ram_of(entry)
    trust = "catalogue, low confidence" if entry.confidence == "low" else "catalogue"
    own_host = Host(
        ram_total_bytes=ram_bytes,
        ram_available_bytes=None if ram_bytes is None else int(ram_bytes * USABLE_RAM),
        cpu_features=_features(entry),
        sources={
            "ram_total_bytes": f"{trust}: advertised size",
            "ram_available_bytes": f"{trust}: advertised size less 3% for kernel and firmware",
        },
    )
    notes = [f"{entry.name}: {entry.notes}"] if entry.notes else []
    if entry.confidence == "low":
        notes.append(f"{entry.name}: low confidence ({entry.source})")
    chosen = host if host is not None and ram_bytes is None else own_host
    return Machine(host=chosen, devices=number_devices(parts), notes=tuple(notes))


def resolve_machine(text: str) -> Machine:
    """The machine that `text` names: `aws:g6e.xlarge`, `m3-max:64GiB`; MachineError as `resolve`."""
    return machine_of(resolve(text, kinds=MACHINE_KINDS))


def _features(entry: Entry) -> tuple[str, ...]:
    """Processor features of the kind of host: the least that all hosts of that kind have."""
    from budget.machine.describe import DESCRIBED_CPU_FEATURES

    first = by_id(entry.gpus[0][0]) if entry.gpus else entry
    if entry.kind == "soc" or "macos-latest" in entry.aliases:
        has_i8mm = entry.kind == "soc" and entry.arch != "apple-m1"
        return ("dotprod", "fp16_va", "i8mm", "neon") if has_i8mm else ("dotprod", "fp16_va", "neon")
    arm_cards = ("gb10", "jetson", "gh200", "gb200", "gb300")
    is_arm = (
        "arm" in entry.id.split("-")
        or entry.id.startswith("aws-g5g")
        or any(a in first.id for a in arm_cards)
    )
    return ("dotprod", "neon") if is_arm else DESCRIBED_CPU_FEATURES


def hardware_rows(text: str | None = None, *, kinds: Sequence[str] | None = None) -> tuple[HardwareRow, ...]:
    """The catalogue, or the entries with every word of `text` in a name, least memory first."""
    words = [normal_name(word) for word in (text or "").split()]
    rows = [
        _row(entry)
        for entry in entries()
        if (kinds is None or entry.kind in kinds) and _matches(entry, words)
    ]
    return tuple(sorted(rows, key=lambda row: (row.memory_bytes or 0, row.id)))


def hardware_machines(
    text: str | None = None, *, kinds: Sequence[str] | None = None, host: Host | None = None
) -> Iterator[tuple[HardwareRow, Machine]]:
    """Rows of `hardware_rows` with the machine that each stands for, least memory first; cards go into `host`.

    For "which hardware runs this": the caller plans each machine.
    """
    for row in hardware_rows(text, kinds=kinds):
        yield row, machine_of(by_id(row.id), host=host)


def _matches(entry: Entry, words: Sequence[str]) -> bool:
    names = [normal_name(name) for name in (entry.id, entry.name, entry.kind, entry.vendor, *entry.aliases)]
    return all(any(word in name for name in names) for word in words)


def _row(entry: Entry) -> HardwareRow:
    bandwidth = entry.memory_bandwidth_gbps
    return HardwareRow(
        id=entry.id,
        kind=entry.kind,
        name=entry.name,
        memory_bytes=memory_bytes(entry),
        ram_bytes=entry.ram_bytes or _ram_of(entry),
        bandwidth_bytes_per_second=None if bandwidth is None else int(bandwidth * 10**9),
        confidence=entry.confidence,
        notes=entry.notes,
    )
