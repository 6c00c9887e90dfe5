"""The screen of `budget devices`."""

from __future__ import annotations

from typing import Any

from budget.machine.device import Device, Host, Machine
from budget.render.screen import GAP, Block, Table, Text
from budget.render.words import size_or_unknown


def machine_screen(machine: Machine, *, verbose: bool) -> list[Block]:
    """Devices as a table; with `verbose` the source of every number."""
    host = machine.host
    rows = [
        ["CPU", "", size_or_unknown(host.ram_total_bytes), size_or_unknown(host.ram_available_bytes), "cpu"]
    ]
    rows += [
        [
            d.name,
            d.description,
            size_or_unknown(d.total_bytes),
            size_or_unknown(d.free_bytes),
            f"{d.backend} {d.compute_capability or ''}".rstrip(),
        ]
        for d in machine.devices
    ]
    blocks: list[Block] = [Table(["device", "card", "total", "free", "backend"], rows, left=(0, 1, 4))]
    blocks += [Text(f"{d.name}: {d.problem}", "warn") for d in machine.devices if d.problem]
    if verbose:
        sources = [*_sources("CPU", host), *(row for d in machine.devices for row in _sources(d.name, d))]
        blocks += [GAP, Table(["device", "number", "where it comes from"], sources, left=(0, 1, 2), wrap=2)]
        if host.cpu_features:
            blocks += [GAP, Text(f"CPU features: {' '.join(host.cpu_features)}")]
    return blocks + [Text(f"Note: {note}", "dim") for note in machine.notes]


def machine_rows(machine: Machine) -> list[dict[str, Any]]:
    """A row per device for CSV, the CPU's memory being the host's."""
    host = machine.host
    first = {"name": "CPU", "kind": "cpu", "backend": None, "description": None, "compute_capability": None}
    rows = [first | {"total_bytes": host.ram_total_bytes, "free_bytes": host.ram_available_bytes}]
    return rows + [{key: getattr(d, key) for key in rows[0]} for d in machine.devices]


def _sources(name: str, of: Host | Device) -> list[list[str]]:
    return [[name, field, source] for field, source in of.sources.items()]
