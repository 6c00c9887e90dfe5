"""One host of an inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from budget.machine.device import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A host that work can be put on."""

    name: str
    machine: Machine
    """What is left of it for new work."""
    problem: str | None = None
    """Why nothing can be put on it now (down, drained, cordoned), in a few words."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Kubernetes labels; empty elsewhere."""
    gpu_resource: str | None = None
    """What a pod asks for to get one of its devices: `nvidia.com/gpu`, `nvidia.com/mig-3g.20gb`."""
