"""The memory of this machine, read from its host, its drivers and the limits around this process."""

from __future__ import annotations

from budget.machine.probe.local import probe_machine, probe_machine_with

__all__ = ["probe_machine", "probe_machine_with"]
