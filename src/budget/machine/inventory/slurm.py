"""Nodes of `scontrol show nodes --json`.

Source: Slurm's openapi data_parser (node: real_memory and alloc_memory in MiB, gres, gres_used, state) and
gres.conf(5); type names in a GRES are the site's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from budget.machine.describe import DESCRIBED_CPU_FEATURES
from budget.machine.device import Device, Host, Machine
from budget.machine.inventory.gpu import named_device, several
from budget.machine.inventory.node import Node
from budget.units import MiB

UNUSABLE_STATES = (
    "DOWN", "DRAIN", "DRAINED", "DRAINING", "FAIL", "FAILING", "MAINTENANCE", "NOT_RESPONDING", "POWERED_DOWN",
    "POWERING_DOWN", "UNKNOWN", "FUTURE",
)  # fmt: skip
_GRES = re.compile(r"(?P<kind>[^:()]+)(?::(?P<type>[^:()]+))??:(?P<count>\d+)(?:\(.*\))?\Z")


def slurm_nodes(items: Sequence[Any], *, gpu_names: Mapping[str, str] | None = None) -> tuple[Node, ...]:
    """A `Node` for each entry of `nodes`; memory and devices of running jobs are taken off.

    `gpu_names` maps the site's GRES types to names of the catalogue, where they are not such names.
    """
    return tuple(_node(item, gpu_names or {}) for item in items if isinstance(item, dict))


def _node(item: Mapping[str, Any], gpu_names: Mapping[str, str]) -> Node:
    real, used = _number(item.get("real_memory")), _number(item.get("alloc_memory")) or 0
    is_arm = str(item.get("architecture", "")).startswith(("aarch64", "arm"))
    devices = tuple(_devices(str(item.get("gres") or ""), str(item.get("gres_used") or ""), gpu_names))
    host = Host(
        ram_total_bytes=None if real is None else real * MiB,
        ram_available_bytes=None if real is None else max(0, real - used) * MiB,
        cpu_features=("dotprod", "neon") if is_arm else DESCRIBED_CPU_FEATURES,
        sources={"ram_total_bytes": "RealMemory", "ram_available_bytes": "RealMemory less AllocMem"},
    )
    return Node(
        name=str(item.get("name") or item.get("hostname") or "?"),
        machine=Machine(host=host, devices=_numbered(devices)),
        problem=_problem(item.get("state")),
    )


def _number(value: Any) -> int | None:
    """A plain number, or Slurm's `{"set": true, "number": 5}`."""
    if isinstance(value, dict):
        value = value.get("number") if value.get("set") and not value.get("infinite") else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _problem(state: Any) -> str | None:
    words = state if isinstance(state, list) else re.split(r"[+ ]", str(state or ""))
    bad = [str(word).lower() for word in words if str(word).upper().rstrip("*") in UNUSABLE_STATES]
    return ", ".join(bad) or None


def parse_gres(text: str) -> tuple[tuple[str, str | None, int], ...]:
    """(`gpu`, type or None, count) of each entry of a GRES; `gpu:h100:4(S:0-1),shard:8`.

    Commas inside parentheses do not part entries; an entry without a count stands for one.
    """
    entries = re.split(r",(?![^()]*\))", text)
    return tuple(row for entry in entries if (row := _gres_entry(entry.strip())) is not None)


def _gres_entry(entry: str) -> tuple[str, str | None, int] | None:
    match = _GRES.match(entry)
    if match is not None:
        return match["kind"], match["type"], int(match["count"])
    bare = re.match(r"([A-Za-z_]+)(?::([^:()]+))?(?:\(.*\))?\Z", entry)
    return (bare[1], bare[2], 1) if bare else None


def _devices(gres: str, gres_used: str, gpu_names: Mapping[str, str]) -> Iterator[Device]:
    used = {kind: count for name, kind, count in parse_gres(gres_used) if name == "gpu"}
    for name, kind, count in parse_gres(gres):
        if name == "gpu":  # shard and mps are parts of the same cards
            n_left = max(0, count - used.get(kind, 0))
            yield from several(named_device(gpu_names.get(kind or "", kind)), n_left)


def _numbered(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Names counted across types, per backend."""
    seen: dict[str, int] = {}
    named = []
    for device in devices:
        prefix = device.name.rstrip("0123456789")
        named.append(replace(device, name=f"{prefix}{seen.get(prefix, 0)}"))
        seen[prefix] = seen.get(prefix, 0) + 1
    return tuple(named)
