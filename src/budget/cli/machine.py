"""The machine that options mean: this one, or one that is described, with the devices of RPC servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from budget.machine.device import Machine


def machine_of(values: dict[str, Any], servers: Sequence[str]) -> Machine:
    """The machine asked about.

    Args:
        servers: RPC servers that the settings name, as `host:port`; they are asked for their devices.
    """
    from budget.machine.describe import describe_machine

    gpus, ram, no_gpu = values.get("gpu") or [], values.get("ram"), bool(values.get("no_gpu"))
    base = _base(values, devices_described=bool(gpus) or no_gpu)
    machine = describe_machine(gpus=gpus, ram=ram, no_gpu=no_gpu, base=base)
    return _with_rpc(machine, servers, values.get("rpc_from"))


def _base(values: dict[str, Any], *, devices_described: bool) -> Machine | None:
    """The machine that descriptions change; None where they say everything."""
    file, program = values.get("machine"), values.get("probe_with")
    if file is not None:
        from budget.machine.named import open_machine

        return open_machine(file)
    if program is not None:
        from budget.machine.probe import probe_machine_with

        return probe_machine_with(program)
    if devices_described and values.get("ram"):
        return None
    from budget.machine.probe import probe_machine

    return probe_machine(devices=not devices_described)


def _with_rpc(machine: Machine, servers: Sequence[str], inventory: str | None) -> Machine:
    """`machine` with the devices of live servers, and of those on every host of `inventory`."""
    if not servers and inventory is None:
        return machine
    from dataclasses import replace

    from budget.machine.rpc import probe_rpc, rpc_devices_of

    devices, notes = probe_rpc(servers)
    if inventory is not None:
        from budget.machine.inventory.load import load_inventory

        nodes = [(node.name, node.machine) for node in load_inventory(inventory) if node.problem is None]
        devices = (*devices, *rpc_devices_of(nodes))
    return replace(machine, devices=(*devices, *machine.devices), notes=(*machine.notes, *notes))
