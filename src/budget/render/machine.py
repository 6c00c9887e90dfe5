"""The screen of `budget devices`."""

from __future__ import annotations

from budget.machine.device import Device, Host, Machine
from budget.render.plain import table
from budget.units import format_size


def machine_text(machine: Machine, *, verbose: bool) -> str:
    """Devices as a table; with `verbose` the source of every number."""
    host = machine.host
    rows = [["CPU", "", _size(host.ram_total_bytes), _size(host.ram_available_bytes), ""]]
    rows += [
        [d.name, d.description, _size(d.total_bytes), _size(d.free_bytes), d.compute_capability or d.backend]
        for d in machine.devices
    ]
    lines = table(["device", "card", "total", "free", "kind"], rows)
    lines += [f"{d.name}: {d.problem}" for d in machine.devices if d.problem]
    if verbose:
        lines += ["", *_sources("CPU", host), *(s for d in machine.devices for s in _sources(d.name, d))]
        if host.cpu_features:
            lines.append(f"CPU features: {' '.join(host.cpu_features)}")
    lines += [f"Note: {note}" for note in machine.notes]
    return "\n".join(lines)


def _size(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else format_size(size_bytes)


def _sources(name: str, of: Host | Device) -> list[str]:
    return [f"{name} {field}: {source}" for field, source in of.sources.items()]
